"""The folder that travels, run by JAX on the CPU in processes without TensorFlow."""

import gzip
import importlib.util
import json
import re

import numpy as np
import pytest

pytestmark = pytest.mark.slow
needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX runs the traced programs; it comes with the extra `bench`"
)


def write_images(folder, count, size):
    """Writes JPEG files of two classes, bright on the left or on the right, in both splits."""
    from PIL import Image

    numbers = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in ("left", "right"):
            (folder / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = numbers.integers(0, 100, (size, size, 3))
                half = slice(None, size // 2) if label == "left" else slice(size // 2, None)
                pixels[:, half] += 150
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / label / f"{index}.jpg", quality=95)


@pytest.fixture(scope="module")
def traced(gpu, tmp_path_factory):
    """A folder with a thin case of each kind and the first five steps of TensorFlow."""
    cases, tracing = gpu("cases"), gpu("tracing")
    folder, images = tmp_path_factory.mktemp("traced"), tmp_path_factory.mktemp("images")
    write_images(images, 12, 16)
    gpu("packing").pack(str(images), folder)
    thin = ("model.encoder=resnet10_w0p0625", "model.projector=[16, 16]", "train.batch_size=8", "augment.size=16")
    chosen = {
        "step": cases.StepCase("resnet10_w0p0625", 16, 8, (16, 16), bfloat16=False, variants=("plain",)),
        "loss": cases.LossCase(16, 64),
        "inference": cases.InferenceCase("resnet10_w0p0625", 16, 4, bfloat16=False),
        "train": cases.TrainingCase("cifar10", thin, neighbors=3, feature_batch=10),
    }
    tracing.trace(chosen, folder, reference_steps=5)
    return folder


def test_folder_holds_all_that_a_run_needs(traced):
    cases = json.loads((traced / "cases.json").read_text())["cases"]
    for case in cases.values():
        for program in case["programs"].values():
            assert (traced / f"{program}.mlir.gz").stat().st_size < 200_000
    # No first value travels that a rule can draw.
    assert sum(file.stat().st_size for file in traced.rglob("*")) < 1_000_000
    facts = json.loads((traced / "train.step.json").read_text())
    assert facts["outputs"] == ["first_nonfinite", "gradient_norm", "invariance", "loss", "redundancy"]
    # Every variable that a step changes comes back: all but the two learning rates.
    kept = {len(facts["inputs"]) + i for i, entry in enumerate(facts["variables"]) if "rate" not in entry["path"]}
    assert kept == set(facts["feedback"].values())
    assert all(-1.0 == step["first_nonfinite"] for step in facts["reference"])


def test_programs_are_nothing_but_stablehlo(traced):
    """XLA takes more than that on a CPU, and nothing more on a GPU."""
    texts = [gzip.decompress(file.read_bytes()).decode() for file in traced.glob("*.mlir.gz")]
    operations = set(re.findall(r"= \"?([a-z]\w*)\.", "".join(texts)))
    assert operations == {"stablehlo"}


def test_no_path_of_this_machine_travels(traced):
    import gzip

    for file in traced.glob("*.mlir.gz"):
        text = gzip.decompress(file.read_bytes()).decode()
        assert "loc(" not in text and ".py" not in text


@needs_jax
def test_jax_takes_tensorflows_steps(traced, run_python):
    done = run_python(traced / "run.py", "--check", "--out", traced / "checked")
    assert done.returncode == 0, done.stderr
    programs = json.loads((traced / "checked" / "check.json").read_text())["programs"]
    assert len(programs) == 6
    for name, checked in programs.items():
        if name != "train.features":
            assert checked["compared_steps"] == (5 if "step" in name else 1), name
            # TensorFlow's kernels and XLA's sum float32 in different orders.
            assert checked["largest_relative_difference"] < 1e-5, name


@needs_jax
def test_sides_take_turns(traced, run_python):
    pytest.importorskip("torch", reason="the peer is PyTorch; it comes with the extra `bench`")
    out = traced / "turns"
    arguments = ("loss", "--allow-cpu", "--calls", 2, "--skip", "pytorch-compile", "--out", out)
    done = run_python(traced / "run.py", *arguments)
    assert done.returncode == 0, done.stderr
    result = json.loads((out / "results.json").read_text())["cases"]["loss"]
    labels = [label for label, _ in result["order"]]
    assert labels == ["N×N", "D×D", "pytorch-eager", "pytorch-eager", "D×D", "N×N"]
    assert result["failures"] == {}
    assert all(side["median_seconds"] > 0 for side in result["sides"].values())


@needs_jax
def test_side_that_fails_is_recorded_and_the_others_go_on(traced, run_python, tmp_path):
    (tmp_path / "without" / "torch").mkdir(parents=True)
    (tmp_path / "without" / "torch" / "__init__.py").write_text("raise ImportError('no torch here')")
    arguments = ("loss", "--allow-cpu", "--calls", 2, "--out", tmp_path / "out")
    done = run_python(traced / "run.py", *arguments, PYTHONPATH=str(tmp_path / "without"))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "results.json").read_text())["cases"]["loss"]
    assert result["failures"] == {"pytorch": "PyTorch is missing (no torch here)."}
    assert [label for label, _ in result["order"]] == ["N×N", "D×D", "D×D", "N×N"]


# An unbroken run; then another one that is saved after four of six steps, as one that was killed leaves it.
_INTERRUPTED = """
import json, sys
from pathlib import Path
folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
import numpy as np
from portable import xla
from portable.images import read_split
from portable.training import TrainingRun
case = json.loads((folder / "cases.json").read_text())["cases"]["train"]
split = read_split(folder, "train", workers=1)
run = TrainingRun(folder, case, xla.open_device(allow_cpu=True), split, folder / "state.npz")
advance = lambda until: run.advance(until=until, save_every=1e9, time_left=lambda: 1.0)
run.start(2)
advance(run.total_steps)
np.savez(folder / "unbroken.npz", *[run.value(argument) for argument in case["encoder"]])
(folder / "history.json").write_text(json.dumps(run.history))
run.start(2)
advance(4)
run.save()
"""


# Keras saves with a call that NumPy 2 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@needs_jax
def test_resumed_run_equals_the_unbroken_one_and_ends_with_an_encoder(traced, run_python, gpu):
    import keras

    done = run_python("-c", _INTERRUPTED, traced)
    assert done.returncode == 0, done.stderr
    done = run_python(traced / "run.py", "train", "--allow-cpu", "--part-size", 1, "--minutes", 9)
    assert done.returncode == 0, done.stderr
    assert not (traced / "state.npz").exists()
    result = json.loads((traced / "results" / "results.json").read_text())["cases"]["train"]
    assert result["status"] == "finished" and result["epochs"] == 2 and result["steps"] == 6
    assert result["history"] == json.loads((traced / "history.json").read_text())
    # Bright on the left or on the right: a linear classifier finds it in the features of any encoder.
    assert result["linear"]["accuracy"] > 0.8

    path = gpu("collecting").write_encoder(traced, traced / "results")
    encoder = keras.models.load_model(path)
    assert (path.parent / "recipe.toml").exists()
    with np.load(traced / "unbroken.npz") as unbroken:
        for weights, name in zip(encoder.get_weights(), unbroken.files, strict=True):
            # Bit for bit: on a CPU the same program gives the same bits.
            np.testing.assert_array_equal(weights, unbroken[name])

    # The library's kNN on the library's features of the same pixels.
    from barlowtf.augment import normalize
    from barlowtf.metrics import knn_accuracy

    settings = gpu("library").read_recipe(path.parent / "recipe.toml", ()).augment
    splits = [gpu("portable.images").read_split(traced, name, workers=1) for name in ("train", "test")]
    bank, queries = (
        encoder(normalize(np.float32(split.images) / 255, settings.mean, settings.std)) for split in splits
    )
    labels = [split.labels for split in splits]
    accuracy = knn_accuracy(bank, labels[0], queries, labels[1], neighbors=3, temperature=0.1, class_count=2)
    assert result["knn"] == {"neighbors": 3, "temperature": 0.1, "accuracy": accuracy}

    part = traced / "results" / result["encoder"]["parts"][0]["file"]
    part.write_bytes(b"x" + part.read_bytes()[1:])
    with pytest.raises(ValueError, match="sha256 differs"):
        gpu("collecting").write_encoder(traced, traced / "results")


def test_missing_jax_is_one_line(gpu, run_python, tmp_path):
    gpu("tracing").copy_runner(tmp_path)
    (tmp_path / "cases.json").write_text(json.dumps({"cases": {}, "tf32": True}))
    (tmp_path / "without" / "jax").mkdir(parents=True)
    (tmp_path / "without" / "jax" / "__init__.py").write_text("raise ImportError('no jax here')")
    done = run_python(tmp_path / "run.py", PYTHONPATH=str(tmp_path / "without"))
    assert done.returncode == 1
    assert done.stderr == ("error: JAX is missing (no jax here). Install it, for example: pip install 'jax[cuda13]'.\n")


@needs_jax
def test_missing_card_is_one_line(gpu, run_python, tmp_path):
    gpu("tracing").copy_runner(tmp_path)
    (tmp_path / "cases.json").write_text(json.dumps({"cases": {}, "tf32": True}))
    done = run_python(tmp_path / "run.py")
    assert done.returncode == 1
    assert done.stderr == ("error: JAX finds no GPU. Install its GPU version, or add --allow-cpu for a rehearsal.\n")
