"""TensorFlow's C API gives what TensorFlow's own loader gives, from a process of its own and in this one."""

import io
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from barlowtf.errors import ExportError
from benchmarks import array_files
from benchmarks.small_saved_model import CLASSES, write_small_saved_model
from tests.doubles import c_api, c_library

ROOT = Path(__file__).parents[2]
# As `python -m tests.doubles.c_api`, but it tells whether TensorFlow's Python came along.
PROCESS = """
import sys
from tests.doubles.c_api import main
main(sys.argv[1:])
print("tensorflow" in sys.modules)
"""


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return write_small_saved_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 40, 24, 3), np.uint8)


def _encoded(images):
    files = []
    for image, kind in zip(images, ("PNG", "JPEG", "PNG", "JPEG", "PNG"), strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, kind)
        files.append(file.getvalue())
    # Short ones lie inside TF_TString, long ones elsewhere; the end of one is a zero byte.
    return np.array([*files, b"", b"no image", b"no image, in more than the 22 bytes of a short string\0"], object)


def _by_tensorflow(saved_model, signature, inputs):
    function = tf.saved_model.load(str(saved_model)).signatures[signature]
    given = {name: tf.constant(value.tolist() if value.dtype == object else value) for name, value in inputs.items()}
    return {name: value.numpy() for name, value in function(**given).items()}


def _assert_equal(outputs, expected):
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        assert outputs[name].dtype == value.dtype
        # The same kernels on the same numbers: bit for bit.
        np.testing.assert_array_equal(outputs[name], value, err_msg=name)


def _run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", PROCESS, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("signature", ["from_jpeg", "float_images"])
def test_process_equals_the_loader_of_tensorflow(saved_model, images, tmp_path, signature):
    floats = np.random.default_rng(1).random((3, 32, 32, 3), np.float32)
    inputs = {"encoded": _encoded(images)} if signature == "from_jpeg" else {"images": floats}
    array_files.save_arrays(tmp_path / "inputs.npz", inputs)
    done = _run(saved_model, tmp_path / "inputs.npz", tmp_path / "outputs.npz", "--signature", signature)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    outputs = array_files.load_arrays(tmp_path / "outputs.npz")
    _assert_equal(outputs, _by_tensorflow(saved_model, signature, inputs))
    if signature == "from_jpeg":
        assert outputs["valid"].tolist() == [True] * 5 + [False] * 3
        assert not outputs["features"][5:].any() and outputs["features"][:5].any(axis=1).all()


def test_signature_is_run_again_on_other_inputs(saved_model, images):
    with c_api.SavedModel(saved_model) as model:
        for batch in (images, images[:1], np.rot90(images, axes=(1, 2))):
            expected = _by_tensorflow(saved_model, "serving_default", {"images": batch})
            _assert_equal(model.run("serving_default", {"images": batch}), expected)


def test_label_that_is_no_short_string_comes_whole(saved_model):
    floats = np.random.default_rng(2).random((64, 32, 32, 3), np.float32)
    floats *= np.linspace(0, 4, 64, dtype=np.float32)[:, None, None, None] * [1, 0, -1]
    with c_api.SavedModel(saved_model) as model:
        outputs = model.run("float_images", {"images": floats.astype(np.float32)})
    assert outputs["label"].tolist() == [CLASSES[i].encode() for i in outputs["logits"].argmax(axis=1)]


def test_wrong_use_is_an_error_that_says_so(saved_model, images):
    with c_api.SavedModel(saved_model) as model:
        with pytest.raises(ExportError, match="'classify'. Expected .*float_images, from_jpeg, serving_default"):
            model.run("classify", {})
        with pytest.raises(ExportError, match="Received pictures. Expected images"):
            model.run("serving_default", {"pictures": images})
        with pytest.raises(ExportError, match="Input images .* Received float32. Expected uint8"):
            model.run("serving_default", {"images": images.astype(np.float32)})
        with pytest.raises(ExportError, match="Input encoded .* Received an element of type int"):
            model.run("from_jpeg", {"encoded": np.array([1], object)})
        with pytest.raises(ExportError, match=r"cannot run .* Received from TensorFlow \(code 3\): .*depth.* 7 vs 3"):
            model.run("float_images", {"images": np.zeros((1, 32, 32, 7), np.float32)})
        # And it still runs.
        assert len(model.run("serving_default", {"images": images})["label"]) == 5
    with pytest.raises(ValueError, match="closed"):
        model.run("serving_default", {"images": images})


@pytest.mark.parametrize(
    "array",
    [
        np.array(True),
        np.zeros((0, 3), np.float32),
        np.arange(6, dtype=np.int64).reshape(2, 3).T,
        np.arange(4, dtype=np.float16),
        np.zeros((2, 0), object),
        np.array([["short", "longer than a short string is"]]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_tensor_comes_back(array):
    kind = 7 if array.dtype.kind in "OU" else {"?": 10, "f": 1, "q": 9, "l": 9, "e": 19}[array.dtype.char]
    expected = np.char.encode(array).astype(object) if array.dtype.kind == "U" else array
    with ExitStack() as held:
        tensor = c_library.to_tensor(c_library.load_library(), held, array, kind)
        again = c_library.to_array(c_library.load_library(), tensor)
    assert again.dtype == expected.dtype and again.shape == expected.shape
    np.testing.assert_array_equal(again, expected)


def test_process_that_fails_ends_with_one_line(saved_model, tmp_path):
    np.savez(tmp_path / "inputs.npz", images=np.zeros((1, 8, 8, 3), np.uint8))
    given = (tmp_path / "inputs.npz", tmp_path / "outputs.npz")
    done = _run(tmp_path / "nothing", *given)
    assert done.returncode == 1
    assert "nothing. Expected the folder of a SavedModel" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and list(tmp_path.iterdir()) == [given[0]]


def test_files_that_cannot_be_read_or_written_are_one_line(saved_model, tmp_path):
    (tmp_path / "text").write_text("no arrays")
    for inputs in (tmp_path / "missing", tmp_path / "text"):
        with pytest.raises(SystemExit, match="Inputs cannot be read. Received "):
            c_api.main([str(saved_model), str(inputs), str(tmp_path / "outputs.npz")])
    np.savez(tmp_path / "inputs.npz", images=np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(SystemExit, match="Outputs cannot be written. Received "):
        c_api.main([str(saved_model), str(tmp_path / "inputs.npz"), str(tmp_path / "missing" / "outputs.npz")])


def test_strings_survive_their_file_and_pickle_is_refused(tmp_path):
    strings = np.array([[b"a\0", b""], [b"\0", "é"]], object)
    array_files.save_arrays(tmp_path / "a.npz", {"s": strings, "n": np.arange(3), "none": np.array([], object)})
    again = array_files.load_arrays(tmp_path / "a.npz")
    assert again["s"].tolist() == [[b"a\0", b""], [b"\0", "é".encode()]]
    assert again["n"].tolist() == [0, 1, 2] and again["none"].shape == (0,)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    np.savez(tmp_path / "pickled.npz", s=strings)
    with pytest.raises(ValueError, match="allow_pickle"):
        array_files.load_arrays(tmp_path / "pickled.npz")
