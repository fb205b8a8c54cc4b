"""What `make compat` compares, as far as it needs no old environment; the recorded numbers stand in for its answers."""

import ast
import copy
import io
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.ndimage import gaussian_filter

from barlowtf.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a module of the benchmarks, which are no installed package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: import_module(f"benchmarks.{name}")


@pytest.fixture
def compat(benchmark):
    return benchmark("compat")


@pytest.fixture
def addons(compat, golden):
    """(inputs, answers): the recorded ones, and of the photographs SciPy's, which Addons' are near."""
    inputs = compat.addons_inputs()
    with np.load(golden / "tfa.npz") as recorded:
        answers = {key: recorded[key] for key in recorded if "after" in key or "reflect" in key}
    for i, sigma in enumerate(compat.PHOTOGRAPH_SIGMAS):
        blurred = gaussian_filter(inputs["photographs/image"], sigma, mode="mirror", radius=11, axes=(1, 2))
        answers[f"photographs/{i}/reflect"] = blurred
    return inputs, answers


def test_lamb_is_addons_with_decay_and_keras_is_not(compat, addons):
    differences = compat.lamb_differences(*addons)
    # float32 rounding over six steps, on parameters of size 1; decay 0.01 at the rate 0.02 moves them by 1e-3.
    assert 0 < differences["0.0"]["barlowtf.optim.LAMB"] < 1e-6
    assert 0 < differences["0.01"]["barlowtf.optim.LAMB"] < 1e-6
    assert differences["0.0"]["keras.optimizers.Lamb"] < 1e-6
    assert differences["0.01"]["keras.optimizers.Lamb"] > 1e-4


def test_every_step_and_parameter_of_lamb_counts(compat, addons):
    inputs, answers = addons
    answers["lamb/wd0.01/after/5/2"] = answers["lamb/wd0.01/after/5/2"] + np.float32(0.5)
    differences = compat.lamb_differences(inputs, answers)
    assert differences["0.01"]["barlowtf.optim.LAMB"] == pytest.approx(0.5, abs=1e-5)
    assert differences["0.0"]["barlowtf.optim.LAMB"] < 1e-6


def test_blur_is_told_beside_float64(compat, addons):
    inputs, answers = addons
    answers["photographs/2/reflect"] = answers["photographs/2/reflect"] + np.float32(0.25)
    differences = compat.blur_differences(inputs, answers)
    assert 0 < differences["blur"]["to_addons"] < 2e-6  # tests/augment/test_blur.py gives the reason.
    assert differences["photographs"]["to_addons"] == pytest.approx(0.25, abs=1e-5)
    assert differences["photographs"]["float64_to_addons"] == pytest.approx(0.25, abs=1e-5)
    # Two float32 sums of 23 terms of size 1.
    assert 0 < differences["photographs"]["float64_to_ours"] < 2e-6


def test_differences_of_numbers_labels_and_what_is_not_finite(compat):
    one = np.array([1.0, np.nan, np.inf], np.float32)
    assert compat.largest_difference(np.array([1, 5], np.uint8), np.array([3, 4], np.uint8)) == 2.0
    assert compat.largest_difference(one[:2], one[:2]) == 0.0
    assert compat.largest_difference(one[1:2], one[:1]) == np.inf
    assert compat.largest_difference(one[2:], one[:1]) == np.inf
    labels, others = (np.array(names, object) for names in ([b"cat", b"dog", b"", b"dog"], [b"cat", b"", b"", b"dog"]))
    assert compat.largest_difference(labels, others) == 0.25
    assert compat.largest_difference(np.array([True, False]), np.array([True, True])) == 0.5
    assert compat.largest_difference(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0
    with pytest.raises(ValueError, match="Received shapes"):
        compat.largest_difference(np.zeros(2), np.zeros((2, 1)))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_signatures_run_and_a_difference_in_one_batch_is_found(compat, benchmark, tmp_path):
    run, files = benchmark("compat_old").run_signatures, benchmark("array_files")
    model = benchmark("small_saved_model").write_small_saved_model(tmp_path / "model")
    inputs, old, new = (tmp_path / name for name in ("inputs", "old", "new"))
    for folder in (inputs, old, new):
        folder.mkdir()
    jobs = compat.write_signature_jobs(model, None, inputs)
    for folder in (old, new):
        run(str(model), jobs, inputs, folder)
    result = {"lamb": {}, "blur": {}, "saved_model": {"signatures": compat.signature_differences(jobs, old, new)}}
    signatures = result["saved_model"]["signatures"]
    assert signatures.keys() == {"serving_default", "float_images", "from_jpeg"}
    assert signatures["serving_default"]["rows"] == {"photographs": 2, "digits": 64, "patches": 80}
    assert signatures["from_jpeg"]["rows"] == {"photographs": 2, "digits": 64, "patches": 80, "bad bytes": 5}
    assert signatures["from_jpeg"]["outputs"].keys() == {"features", "logits", "probabilities", "label", "valid"}
    assert signatures["from_jpeg"]["outputs"]["features"]["largest_value"] > 0.1
    assert compat.beyond(result) == []

    bad = next(job["file"] for job in jobs if job["group"] == "bad bytes")
    outputs = files.load_arrays(old / bad)
    # A file that breaks off is no image; the whole one beside it is.
    assert outputs["valid"].tolist() == [False] * 4 + [True] and not outputs["features"][:4].any()
    outputs["logits"][4, 0] += 2e-5
    outputs["label"][0] = b"cat"
    files.save_arrays(old / bad, outputs)
    # Of several batches it is not the last alone that counts.
    first = files.load_arrays(old / jobs[0]["file"])
    first["features"][1, 3] -= 1e-4
    files.save_arrays(old / jobs[0]["file"], first)
    result["saved_model"]["signatures"] = compat.signature_differences(jobs, old, new)
    assert {line.partition(":")[0] for line in compat.beyond(result)} == {
        "signature from_jpeg, label",
        "signature from_jpeg, logits",
        f"signature {jobs[0]['signature']}, features",
    }
    del outputs["label"]
    files.save_arrays(old / bad, outputs)
    with pytest.raises(ValueError, match="Received outputs"):
        compat.signature_differences(jobs, old, new)


@pytest.fixture
def result():
    output = {"largest_difference": 3e-6}
    return {
        "old_versions": {"tensorflow": "2.15.1"},
        "saved_model": {"signatures": {"embed": {"rows": {"digits": 64, "patches": 80}, "outputs": {"e": output}}}},
        "lamb": {
            decay: {"barlowtf.optim.LAMB": 2e-7, "keras.optimizers.Lamb": keras}
            for decay, keras in (("0.0", 1e-7), ("0.01", 4e-3))
        },
        "blur": {
            name: {"to_addons": 1.5e-6, "float64_to_addons": 1.7e-6, "float64_to_ours": 4e-7}
            for name in ("blur", "photographs")
        },
    }


def test_table_holds_the_figures(compat, result):
    text = compat.table(result)
    for row in (
        "| `barlowtf.optim.LAMB` | 2.0e-07 with weight decay 0.0, 2.0e-07 with weight decay 0.01 |",
        "| `keras.optimizers.Lamb` | 1.0e-07 with weight decay 0.0, 4.0e-03 with weight decay 0.01 |",
        "1.5e-06 on photographs in [0, 1] (float64 to Addons 1.7e-06, to ours 4.0e-07) |",
        "| `embed` | 144 | e 3.0e-06 |",
    ):
        assert row in text


def test_what_is_beyond_its_tolerance_is_named(compat, result):
    # Keras' LAMB may differ: that it does is what the table tells.
    assert compat.beyond(result) == []
    worse = copy.deepcopy(result)
    worse["lamb"]["0.01"]["barlowtf.optim.LAMB"] = 1e-5
    worse["blur"]["photographs"]["to_addons"] = float("nan")
    worse["saved_model"]["signatures"]["embed"]["outputs"]["e"]["largest_difference"] = 2e-5
    assert [line.partition(":")[0] for line in compat.beyond(worse)] == [
        "signature embed, e",
        "LAMB, decay 0.01",
        "blur, photographs",
    ]


def _png(height, width):
    file = io.BytesIO()
    Image.fromarray(np.full((height, width), 255, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_inputs_follow_the_signature(benchmark, tmp_path):
    images = benchmark("real_images")
    (tmp_path / "class").mkdir()
    for i in range(65):
        (tmp_path / "class" / f"{i:03}.png").write_bytes(_png(4, 6))
    (tmp_path / "other.PNG").write_bytes(_png(9, 5))
    (tmp_path / "notes.txt").write_text("no image")
    files = images.image_files(tmp_path)

    def shapes(shape, dtype):
        batches = images.signature_inputs(files, tf.TensorSpec(shape, dtype))
        return [(group, batch.dtype, batch.shape) for group, batch in batches]

    assert shapes([None, None, None, 3], tf.uint8) == [
        ("6×4", np.uint8, (64, 4, 6, 3)),
        ("6×4", np.uint8, (1, 4, 6, 3)),
        ("5×9", np.uint8, (1, 9, 5, 3)),
    ]
    assert shapes([None, 8, 10, 3], tf.float32)[0] == ("6×4", np.float32, (64, 8, 10, 3))
    _, batch = next(images.signature_inputs(files, tf.TensorSpec([None, None, None, 3], tf.float32)))
    assert batch.max() == 1.0
    assert [shape for _, _, shape in shapes([None], tf.string)] == [(64,), (1,), (1,), (5,)]
    with pytest.raises(DataError, match="Received an input of kind .*int64"):
        shapes([None], tf.int64)
    with pytest.raises(DataError, match="holds no image"):
        images.image_files(tmp_path / "class" / "nothing")


def test_what_is_missing_is_said(compat, tmp_path):
    with pytest.raises(ConfigError, match="Run `make compat`"):
        compat.compare(tmp_path / "python", None, None)
    with pytest.raises(ConfigError, match="Expected the folder that holds saved_model.pb"):
        compat.compare(Path(sys.executable), tmp_path, None)


@pytest.mark.parametrize("module", ["compat_old", "array_files", "__init__"])
def test_old_environment_needs_no_package_that_it_lacks(module):
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse((ROOT / "benchmarks" / f"{module}.py").read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    others = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert others <= {"numpy", "tensorflow", "tensorflow_addons", "benchmarks.array_files"}


def test_old_environment_is_pinned():
    lines = (ROOT / "benchmarks" / "compat_requirements.txt").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert {"tensorflow==2.15.1", "tensorflow-addons==0.23.0"} <= set(packages)
    assert all("==" in package for package in packages)


def test_make_says_that_python_is_missing(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "compat_requirements.txt").touch()
    command = ["make", "-f", str(ROOT / "Makefile"), ".compat/.installed", "PYTHON311=no-such-python"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode and "needs Python 3.11" in done.stderr and "PYTHON311=no-such-python" in done.stderr
    assert not (tmp_path / ".compat").exists()
