"""Whether the memory that a step takes is there: said before anything is trained."""

import pytest

from barlowtf import choosing, experiment
from barlowtf.config import load_recipe
from barlowtf.encoders.building import build_model
from barlowtf.errors import ConfigError
from barlowtf.experiment import step_memory
from barlowtf.experiment.step_memory import estimate_step_memory, require_memory

GB = 10**9


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("digits", ["augment.size=64", "train.batch_size=512"])


@pytest.fixture(scope="module")
def model(recipe):
    return build_model(recipe, 1)


def machine(parts, share):
    """A machine with that share of what is needed."""
    return choosing.Machine(0, None, 2, int((sum(parts.values()) + step_memory.host_memory(parts)) * share), False)


def test_a_step_that_fits_is_no_word_worth(recipe, model, caplog):
    parts = estimate_step_memory(recipe, model, 1)
    require_memory(recipe, model, 1, machine(parts, 1.01))
    assert not caplog.text


def test_what_may_not_fit_is_warned_of(recipe, model, caplog):
    parts = estimate_step_memory(recipe, model, 1)
    require_memory(recipe, model, 1, machine(parts, 0.9))
    assert "Perhaps not enough memory: a step of 512 images of 64 pixels takes about" in caplog.text


def test_what_cannot_fit_is_refused(recipe, model):
    parts = estimate_step_memory(recipe, model, 1)
    with pytest.raises(ConfigError, match="Not enough memory: .* and this machine has .* Use a smaller"):
        require_memory(recipe, model, 1, machine(parts, 0.6))
    needed = sum(parts.values())
    gpu = choosing.Machine(1, needed // 2, 2, 100 * needed, True)
    with pytest.raises(ConfigError, match="and the GPU has"):
        require_memory(recipe, model, 1, gpu)


def test_a_small_step_is_not_estimated(monkeypatch):
    recipe = load_recipe("digits", ["augment.size=8", "model.encoder=resnet10_w0p0625"])
    monkeypatch.setattr(step_memory, "estimate_step_memory", None)
    require_memory(recipe, build_model(recipe, 1), 1, choosing.Machine(0, None, 2, 64 * GB, False))


def test_a_run_that_cannot_fit_leaves_nothing_behind(tmp_path):
    recipe = load_recipe("digits", ["augment.size=2048", "train.batch_size=1024", "model.encoder=resnet10"])
    with pytest.raises(ConfigError, match="Not enough memory: a step of 1024 images of 2048 pixels"):
        experiment.pretrain(experiment.PretrainRequest(recipe, tmp_path / "run"))
    assert not list(tmp_path.iterdir())
