"""A thin run and small photographs to be measured, and the call that measures."""

import numpy as np
import pytest
from PIL import Image

from barlowtf import experiment
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.models import make_encoder


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
            experiment.Request(protocols, chosen, source, overrides=overrides, out=out, **options)
        )

    return call
