"""A thin run and small photographs to be measured, the call that measures, and files to be converted."""

import pickle
import shutil
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from barlowtf import experiment
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.convert import state_dict_of, write_tensors
from barlowtf.models import make_encoder, make_projector
from tests.weights import randomized


@pytest.fixture(scope="session")
def thin_run(tmp_path_factory):
    """A finished run as far as evaluation looks at it: recipe and encoder."""
    recipe = load_recipe("digits", ["augment.size=8", "model.encoder=resnet10_w0p0625", "data.channels=1"])
    folder = tmp_path_factory.mktemp("runs") / "thin"
    folder.mkdir()
    (folder / "recipe.toml").write_text(dump_recipe(recipe))
    make_encoder("resnet10_w0p0625", image_shape=(8, 8, 1), seed=5).save(folder / "encoder.keras")
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Two classes that differ in color; 24 images of different sizes for training, 8 for testing."""
    folder = tmp_path_factory.mktemp("photographs")
    r = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for name, low in (("dark", 0), ("light", 150)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = r.integers(low, low + 100, (10 + number % 3, 12, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def evaluate():
    """Function (run or None, out, *protocols, options of a request): what `experiment.evaluate` returns."""

    def call(run, out, *protocols, source="digits", overrides=(), **options):
        chosen = options.pop("encoders", (str(run),))
        return experiment.evaluate(
            experiment.EvaluateRequest(protocols, chosen, source, overrides=overrides, out=out, **options)
        )

    return call


@pytest.fixture
def safetensors(monkeypatch):
    """The package, or where it is not installed a stand-in that keeps the same arrays as a pickle."""
    try:
        import safetensors.numpy  # noqa: F401
    except ImportError:
        package, parent = ModuleType("safetensors.numpy"), ModuleType("safetensors")
        parent.numpy, parent.SafetensorError = package, pickle.UnpicklingError
        package.save = lambda arrays, metadata: pickle.dumps(arrays)
        package.load_file = lambda path: pickle.loads(Path(path).read_bytes())
        monkeypatch.setitem(sys.modules, "safetensors", parent)
        monkeypatch.setitem(sys.modules, "safetensors.numpy", package)


@pytest.fixture(scope="module")
def torch():
    with warnings.catch_warnings():
        # Its import warns of its own surroundings.
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def encoder():
    return randomized(
        make_encoder("resnet10_w0p0625", image_shape=(None, None, 3), stem="half", dtype="mixed_bfloat16")
    )


@pytest.fixture(scope="module")
def projector():
    return randomized(make_projector(32, (6, 5)), seed=1)


@pytest.fixture
def place(tmp_path, encoder, projector, safetensors):
    """A folder with the encoder and its projector as files of either kind, and a run."""
    encoder.save(tmp_path / "encoder.keras")
    projector.save(tmp_path / "projector.keras")
    write_tensors(tmp_path / "encoder.safetensors", state_dict_of(encoder))
    whole = {f"module.{name}": value for name, value in state_dict_of(encoder, projector).items()}
    write_tensors(tmp_path / "whole.safetensors", whole)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text(dump_recipe(load_recipe("digits")))
    shutil.copy(tmp_path / "encoder.keras", tmp_path / "run")
    return tmp_path
