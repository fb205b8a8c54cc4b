"""LiteRT files with a fixed batch, outputs by choice and integer outputs; what a file says of itself."""

import dataclasses
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import number_types

from barlowtf.errors import ExportError
from barlowtf.export import FORMATS, Replayed, convert_litert
from barlowtf.export.comparison import find_shortfall
from barlowtf.export.format import CLASS_NAMES_FILE
from barlowtf.export.litert import TfliteSettings, read_tflite
from tests.export.conftest import CLASS_NAMES, SIZE

FACTS = {"producer": "barlowtf 0", "encoder_sha256": "abc"}
FORM = FORMATS["tflite"]


def written(folder, parts, variant="float32", views=None, **settings):
    """Returns a file with settings, and what a fresh process would find in it."""
    content = convert_litert(parts, [variant], views, TfliteSettings(**settings), FACTS)[variant]
    (folder / "model.tflite").write_bytes(content)
    return folder / "model.tflite"


def found_in(path, views):
    outputs = read_tflite(str(path), {"views": views})
    assert outputs.pop("milliseconds") > 0
    return outputs


@pytest.fixture(scope="module")
def one(parts, tmp_path_factory):
    return written(tmp_path_factory.mktemp("one"), parts, batch=1)


def test_a_fixed_batch_is_in_the_shape_and_any_number_of_images_is_compared(parts, views, expected, tmp_path):
    path = written(tmp_path, parts, batch=3)
    interpreter = Interpreter(str(path))
    (image,) = interpreter.get_input_details()
    assert list(image["shape"]) == list(image["shape_signature"]) == [3, SIZE, SIZE, 3]
    with pytest.raises(RuntimeError, match="only allows mutating unknown dimensions"):
        interpreter.resize_tensor_input(image["index"], [4, SIZE, SIZE, 3], strict=True)
    # 64 images are 21 calls and one that is filled up.
    for name, value in found_in(path, views).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("outputs", ["features", "probabilities"])
def test_a_file_of_one_output_is_compared_by_it(parts, views, expected, tmp_path, outputs):
    path = written(tmp_path, parts, outputs=outputs)
    found = found_in(path, views)
    assert set(found) == {outputs}
    settings = TfliteSettings(outputs=outputs)
    replayed = Replayed(path, parts, views, np.arange(len(views)) % 3, expected, found, settings)
    figures = FORM.compare(replayed)
    assert set(figures["largest_difference"]) == {outputs}
    assert find_shortfall(figures, "float32", FORM.least_agreement) is None
    assert ("least_cosine" in figures, "top1_agreement" in figures) == (outputs == "features", outputs != "features")
    with pytest.raises(ExportError, match="expected also"):
        FORM.compare(dataclasses.replace(replayed, settings=TfliteSettings()))


def test_probabilities_without_head_are_refused(parts):
    bare = dataclasses.replace(parts, head=None, class_names=None)
    with pytest.raises(ExportError, match="Invalid outputs: received probabilities.*Add --head"):
        convert_litert(bare, ["float32"], settings=TfliteSettings(outputs="probabilities"))


@pytest.mark.parametrize("kind", ["float32", "uint8", "int8"])
def test_integer_files_give_the_type_that_was_chosen(parts, views, expected, tmp_path, kind):
    path = written(tmp_path, parts, "int8", views, batch=5, int8_outputs=kind)
    interpreter = Interpreter(str(path))
    assert [details["dtype"] for details in interpreter.get_input_details()] == [np.uint8]
    assert {details["dtype"] for details in interpreter.get_output_details()} == {np.dtype(kind).type}
    found = found_in(path, views)
    for name in ("features", "logits"):
        # As in test_litert.py: with int8 sums errors add up over the layers.
        assert np.abs(found[name] - expected[name]).max() < 0.15 * np.abs(expected[name]).max()
    assert np.mean(found["logits"].argmax(1) == expected["logits"].argmax(1)) > 0.9


class Reader:
    """A table of a flatbuffer, read by the numbers of its fields: the schema's order, a union counts twice."""

    def __init__(self, buffer, place):
        self.table = flatbuffers.table.Table(buffer, place)

    def _place(self, field):
        return self.table.Offset(4 + 2 * field)

    def text(self, field):
        return self.table.String(self.table.Pos + self._place(field)).decode()

    def number(self, field, flags=number_types.Uint8Flags):
        return self.table.Get(flags, self.table.Pos + self._place(field))

    def child(self, field):
        return Reader(self.table.Bytes, self.table.Indirect(self.table.Pos + self._place(field)))

    def children(self, field):
        start = self.table.Vector(self._place(field))
        places = (start + 4 * k for k in range(self.table.VectorLen(self._place(field))))
        return [Reader(self.table.Bytes, self.table.Indirect(place)) for place in places]

    def floats(self, field):
        return self.table.GetVectorAsNumpy(number_types.Float32Flags, self._place(field)).tolist()

    def has(self, field):
        return self._place(field) != 0


def metadata_of(path):
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    (buffer,) = [model.buffers[entry.buffer].data for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
    content = buffer.tobytes()
    assert content[4:8] == b"M001"
    return Reader(content, flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0))


def test_metadata_say_what_goes_in_and_comes_out(parts, one):
    model = metadata_of(one)
    assert (model.text(0), model.text(2), model.text(4), model.text(7)) == (
        parts.encoder.name,
        "abc",
        "barlowtf",
        "1.0.0",
    )
    assert model.text(1) == "producer: barlowtf 0\nencoder_sha256: abc"
    (graph,) = model.children(3)
    (image,) = graph.children(2)
    assert image.text(0) == "images"
    properties = image.child(3).child(1)
    assert (image.child(3).number(0), properties.number(0)) == (2, 1)  # an image, RGB
    assert [properties.child(1).number(field, number_types.Uint32Flags) for field in (0, 1)] == [SIZE, SIZE]
    (unit,) = image.children(4)
    assert unit.number(0) == 1
    assert (unit.child(1).floats(0), unit.child(1).floats(1)) == ([0.0], [255.0])
    assert (image.child(5).floats(0), image.child(5).floats(1)) == ([1.0], [0.0])
    # In the order of the file's outputs, whose tensors have these names, too.
    outputs = {output.text(0): output for output in graph.children(3)}
    assert list(outputs) == [details["name"] for details in Interpreter(str(one)).get_output_details()]
    assert set(outputs) == {"features", "logits", "probabilities"}
    (labels,) = outputs["probabilities"].children(6)
    assert (labels.text(0), labels.number(2)) == (CLASS_NAMES_FILE, 2)
    assert outputs["logits"].has(6) and not outputs["features"].has(6)


def test_names_of_the_classes_are_a_zip_behind_the_file(one):
    with zipfile.ZipFile(one) as archive:
        (entry,) = archive.infolist()
        # MediaPipe reads it where it lies.
        assert (entry.filename, entry.compress_type) == (CLASS_NAMES_FILE, zipfile.ZIP_STORED)
        assert archive.read(entry).decode().splitlines() == list(CLASS_NAMES)


def test_without_head_there_is_no_zip(parts, views, tmp_path):
    bare = dataclasses.replace(parts, head=None, class_names=None)
    path = written(tmp_path, bare, "int8", views, outputs="features")
    assert not zipfile.is_zipfile(path)
    (graph,) = metadata_of(path).children(3)
    assert [output.text(0) for output in graph.children(3)] == ["features"]
    # Of uint8 images.
    (image,) = graph.children(2)
    assert image.child(5).floats(0) == [255.0]


def test_the_same_parts_give_the_same_bytes(parts, one, tmp_path):
    assert written(tmp_path, parts, batch=1).read_bytes() == one.read_bytes()


@pytest.mark.parametrize("name", ["tflite", "onnx"])
def test_a_batch_that_no_machine_holds_is_refused(name):
    """Each file is run once before it is kept, on as many images as it takes."""
    with pytest.raises(ExportError, match=f"received batch=1025 for the format {name}: .* less than or equal to 1024"):
        FORMATS[name].chosen_settings(name, {"batch": 1025})
