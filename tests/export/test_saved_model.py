"""The SavedModel as it is loaded again: each signature, bad bytes, batches of every size."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.export import FORMATS, write_saved_model
from barlowtf.export.format import Material
from tests.export.conftest import CLASS_NAMES
from tests.saved_models import read_warmup, signatures_of

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def folder(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved-model") / "1"
    signatures = write_saved_model(parts, folder)
    assert list(signatures) == ["serving_default", "from_jpeg", "float_images", "embed"]
    # As they are found in the file again.
    loaded = signatures_of(tf.saved_model.load(str(folder)))
    for name, signature in signatures.items():
        assert {key: (spec.shape, spec.dtype) for key, spec in signature.inputs.items()} == {
            key: (spec.shape, spec.dtype) for key, spec in loaded[name].inputs.items()
        }
        assert {key: (spec.shape.rank, spec.dtype) for key, spec in signature.outputs.items()} == {
            key: (spec.shape.rank, spec.dtype) for key, spec in loaded[name].outputs.items()
        }
    return folder


@pytest.fixture(scope="module")
def signatures(folder):
    loaded = tf.saved_model.load(str(folder))
    # A signature does not keep its variables alive.
    yield loaded.signatures
    del loaded


def labels_of(logits):
    return [CLASS_NAMES[index].encode() for index in logits.argmax(axis=1)]


def test_pixels_and_scaled_views_give_the_outputs_of_the_parts(signatures, photographs, views, expected):
    result = signatures["serving_default"](images=tf.constant(photographs))
    assert result.pop("label").numpy().tolist() == labels_of(expected["logits"])
    for outputs in (result, signatures["float_images"](images=tf.constant(views.astype(np.float32) / 255))):
        assert set(outputs) == {"features", "logits", "probabilities"}
        for name, value in outputs.items():
            np.testing.assert_allclose(value, expected[name], **CLOSE)
    embedded = signatures["embed"](images=tf.constant(photographs))
    np.testing.assert_allclose(embedded["embeddings"], expected["embeddings"], **CLOSE)


def test_what_is_loaded_can_be_called_and_is_a_layer_of_keras(folder, views, expected):
    images = views.astype(np.float32) / 255
    loaded = tf.saved_model.load(str(folder))
    for outputs in (loaded(tf.constant(images)), keras.layers.TFSMLayer(str(folder), call_endpoint="serve")(images)):
        assert set(outputs) == {"features", "logits", "probabilities"}
        for name, value in outputs.items():
            np.testing.assert_allclose(value, expected[name], **CLOSE)


def test_float_images_hold_what_other_programs_take(signatures):
    definition = signatures["float_images"].graph.as_graph_def()
    bodies = [definition.node, *(function.node_def for function in definition.library.function)]
    operations = {node.op for nodes in bodies for node in nodes}
    assert "MatMul" in operations
    assert not [name for name in operations if "Resize" in name or "ScaleAndTranslate" in name or "Gather" in name]


def test_rows_do_not_depend_on_the_size_of_the_batch(signatures, photographs, views):
    for name, images in (("serving_default", photographs), ("float_images", views.astype(np.float32) / 255)):
        whole = signatures[name](images=tf.constant(images))
        for size in range(1, 65):
            first = signatures[name](images=tf.constant(images[:size]))
            for output in ("features", "logits", "probabilities"):
                np.testing.assert_array_equal(first[output], whole[output][:size])


def test_encoded_images_and_bytes_that_are_none(signatures, photographs, expected):
    encoded = [tf.io.encode_png(image).numpy() for image in photographs[:4]]
    jpeg = tf.io.encode_jpeg(photographs[4], quality=95).numpy()
    gray = tf.io.encode_png(photographs[5][..., :1]).numpy()
    bad = [b"", b"no image", encoded[0][:200], jpeg[:300]]
    result = signatures["from_jpeg"](encoded=tf.constant([encoded[0], *bad, *encoded[1:], jpeg, gray]))
    valid = result["valid"].numpy()
    assert valid.tolist() == [True, *[False] * 4, *[True] * 5]
    for name in ("features", "logits", "probabilities"):
        rows = result[name].numpy()
        np.testing.assert_array_equal(rows[~valid], 0.0)
        np.testing.assert_allclose(rows[valid][:4], expected[name][:4], **CLOSE)
    assert result["label"].numpy()[~valid].tolist() == [b""] * 4
    assert result["label"].numpy()[valid][:4].tolist() == labels_of(expected["logits"][:4])
    # A JPEG is not the image that it was made of.
    direct = signatures["serving_default"](images=tf.io.decode_jpeg(jpeg, dct_method="INTEGER_ACCURATE")[None])
    np.testing.assert_array_equal(result["features"][8], direct["features"][0])


def test_a_batch_without_any_image(signatures):
    result = signatures["from_jpeg"](encoded=tf.constant([b"a", b"b"]))
    assert result["valid"].numpy().tolist() == [False, False]
    assert not result["features"].numpy().any()


def test_class_names_and_size(folder):
    names = (folder / "assets.extra" / "class_names.txt").read_text(encoding="utf-8").splitlines()
    assert tuple(names) == CLASS_NAMES
    weights = (folder / "variables" / "variables.data-00000-of-00001").stat().st_size
    # Each weight once: convolutions with their biases, head, projector.
    assert weights < 4 * 82_000


def test_a_default_signature_of_numbers(parts, views, photographs, expected, tmp_path):
    settings = FORMATS["saved-model"].settings(serving_default="floats")
    material = Material(parts, "birds", [tf.io.encode_png(photographs[0]).numpy()], (), lambda: None, settings=settings)
    FORMATS["saved-model"].write(material, tmp_path / "1")
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    assert set(signatures) == {"serving_default", "from_pixels", "from_jpeg", "float_images", "embed"}
    default = signatures["serving_default"](images=tf.constant(views.astype(np.float32) / 255))
    assert set(default) == {"features", "logits", "probabilities"}
    pixels = signatures["from_pixels"](images=tf.constant(photographs))
    for name, outputs in (("default", default), ("pixels", pixels)):
        np.testing.assert_allclose(outputs["features"], expected["features"], err_msg=name, **CLOSE)
    requests = {request.model_spec.signature_name: request for request in read_warmup(tmp_path / "1")}
    assert requests["from_pixels"].inputs["images"].dtype == tf.uint8.as_datatype_enum
    assert requests["serving_default"].inputs["images"].dtype == tf.float32.as_datatype_enum


def test_without_head_and_projector(parts, tmp_path):
    bare = dataclasses.replace(parts, head=None, projector=None, class_names=None)
    assert list(write_saved_model(bare, tmp_path / "1")) == ["serving_default", "from_jpeg", "float_images"]
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    result = loaded.signatures["from_jpeg"](encoded=tf.constant([b"x"]))
    assert set(result) == {"features", "valid"}
