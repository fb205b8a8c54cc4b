"""Which checkpoint of a run is meant: the latest or best whole one, or that of a step."""

import keras
import pytest

from barlowtf import runs
from barlowtf.encoders.restoring import find_checkpoint
from barlowtf.errors import CheckpointError
from barlowtf.models.checkpoint import list_checkpoints, save_state, step_of, training_state


@pytest.fixture
def run(tmp_path):
    """A run folder with the checkpoints of steps 2, 4 and 6, and that of its best epoch, 4."""
    built = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    built.compile(optimizer="sgd")
    built.optimizer.build(built.trainable_variables)
    folder = runs.RunFolder(tmp_path)
    for step in (2, 4, 6):
        save_state(folder.checkpoints, training_state(built), step, keep=9)
    save_state(folder.best, training_state(built), 4, keep=1)
    return folder


def damage(path):
    next(path.glob("*.index")).write_bytes(b"")


@pytest.mark.parametrize(("which", "step"), [("latest", 6), ("best", 4), ("2", 2)])
def test_it_is_found(run, which, step):
    assert step_of(find_checkpoint(run, which)) == step


def test_a_damaged_one_is_passed_over(run):
    damage(list_checkpoints(run.checkpoints)[-1])
    assert step_of(find_checkpoint(run, "latest")) == 4


@pytest.mark.parametrize("which", ["3", "last", "-2", "2.0", ""])
def test_what_is_not_there_is_said_with_what_is(run, which):
    with pytest.raises(CheckpointError, match=rf"no whole checkpoint {which}\. Expected latest, or .*: 2, 4, 6\."):
        find_checkpoint(run, which)


def test_when_none_is_whole(run, tmp_path):
    for path in (*list_checkpoints(run.checkpoints), *list_checkpoints(run.best)):
        damage(path)
    with pytest.raises(CheckpointError, match="has no whole checkpoint latest"):
        find_checkpoint(run, "latest")
    with pytest.raises(CheckpointError, match="no whole checkpoint of its best epoch. Expected a run with"):
        find_checkpoint(run, "best")
    with pytest.raises(CheckpointError, match="one of its steps: none"):
        find_checkpoint(runs.RunFolder(tmp_path / "empty"), "latest")
