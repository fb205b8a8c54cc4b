"""The code that a run or a folder of features names is not imported without trust."""

import keras
import pytest

from barlowtf.config import dump_recipe, load_recipe
from barlowtf.data import require_trusted_data
from barlowtf.doors import load_own, require_trusted
from barlowtf.encoders import load
from barlowtf.errors import ConfigError, DataError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def code(tmp_path):
    """A file that leaves a trace when it is imported."""
    file = tmp_path / "code.py"
    trace = tmp_path / "trace"
    file.write_text(f"open({str(trace)!r}, 'w').close()\n\ndef make(*, image_shape, dtype, seed):\n    pass\n")
    return f"{file}:make", trace


def test_an_entry_that_a_file_names_is_refused_until_it_is_trusted_or_imported(code, tmp_path):
    spec, trace = code
    with pytest.raises(ConfigError, match="Refused the encoder .* which run/recipe.toml names: .* Add --trust"):
        require_trusted(spec, "encoder", named_in="run/recipe.toml", trust=False)
    with pytest.raises(DataError, match="Add --trust.* Or give other images with --data"):
        require_trusted_data(spec, named_in="run/recipe.toml", trust=False)
    for harmless in ("digits", "tfds:mnist", str(tmp_path), "resnet18", ""):
        require_trusted_data(harmless, named_in="run/recipe.toml", trust=False)
        require_trusted(harmless.partition(":")[0], "encoder", named_in="run/recipe.toml", trust=False)
    assert not trace.exists()
    require_trusted(spec, "encoder", named_in="run/recipe.toml", trust=True)
    load_own(spec, "encoder")
    require_trusted(spec, "encoder", named_in="run/recipe.toml", trust=False)


def test_the_layers_of_a_run_are_taken_without_its_code(code, tmp_path):
    spec, trace = code
    run = tmp_path / "run"
    run.mkdir()
    recipe = load_recipe("digits", [f"model.encoder={spec}", "model.stem=auto"])
    (run / "recipe.toml").write_text(dump_recipe(recipe))
    images = keras.Input((8, 8, 1))
    keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images))).save(run / "encoder.keras")
    for name in (run, run / "encoder.keras"):
        encoder = load(str(name))
        assert encoder.width == 4 and encoder.family is None
    assert not trace.exists()
    with pytest.raises(ConfigError, match="Refused the encoder"):
        load("random", like=encoder)
    assert not trace.exists()
    load(str(run), trust=True)
    assert trace.exists()
