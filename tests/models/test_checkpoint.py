"""Checkpoints: whole, checked, the last k, and none of another model."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.errors import CheckpointError
from barlowtf.models.checkpoint import (
    copy_state,
    find_fault,
    list_checkpoints,
    restore_state,
    restore_weights,
    save_state,
    training_state,
)


def model(width=3):
    built = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(width)])
    built.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse", jit_compile=False)
    built.optimizer.build(built.trainable_variables)
    return built


def step(built, seed=0):
    r = np.random.default_rng(seed)
    gradients = [tf.constant(r.standard_normal(v.shape), tf.float32) for v in built.trainable_variables]
    built.optimizer.apply(gradients, built.trainable_variables)


def values(built):
    return [np.asarray(v) for v in [*built.variables, *built.optimizer.variables]]


@pytest.fixture
def trained(tmp_path):
    built = model()
    for number in (1, 2, 3):
        step(built, number)
        save_state(tmp_path, training_state(built), number, keep=2)
    return built


def test_the_last_checkpoints_stay_and_come_back_bit_for_bit(tmp_path, trained):
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000002", "step-00000003"]
    again = model()
    assert restore_state(tmp_path, training_state(again)) == 3
    for a, b in zip(values(trained), values(again), strict=True):
        np.testing.assert_array_equal(a, b)
    step(trained, 4)
    step(again, 4)
    for a, b in zip(values(trained), values(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_and_links_with_such_names_are_no_checkpoints(tmp_path, trained):
    (tmp_path / "step-00000007").write_text("a file")
    (tmp_path / "step-00000008").symlink_to(tmp_path / "step-00000002")
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000002", "step-00000003"]


def test_a_copy_is_the_state_of_step_0_and_leaves_the_source(tmp_path, trained):
    source = list_checkpoints(tmp_path)[-1]
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    copy = copy_state(source, tmp_path / "other")
    assert copy == tmp_path / "other" / "step-00000000" and find_fault(copy) is None
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    built = model()
    assert restore_weights(copy, built) == 0
    for received, expected in zip(built.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)
    next(source.glob("*.index")).unlink()
    with pytest.raises(CheckpointError, match="Cannot copy the checkpoint .*: No such file"):
        copy_state(source, tmp_path / "third")
    assert not (tmp_path / "third" / "step-00000000").exists()


def test_without_a_checkpoint_nothing_is_restored(tmp_path):
    assert restore_state(tmp_path / "none", training_state(model())) == 0


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (flip_a_bit, "bytes that were written"),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "bytes, "),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: (path.parent / "manifest.json").write_text("{"), "manifest.json"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(tmp_path, trained, caplog, harm, word):
    newest = list_checkpoints(tmp_path)[-1]
    harm(next(newest.glob("state.data*")))
    assert word in find_fault(newest)
    assert restore_state(tmp_path, training_state(model())) == 2
    assert "step-00000003" in caplog.text


def test_when_none_is_whole_all_are_listed(tmp_path, trained):
    for path in list_checkpoints(tmp_path):
        flip_a_bit(path / "state.index")
    with pytest.raises(CheckpointError, match=r"step-00000003 .*step-00000002 "):
        restore_state(tmp_path, training_state(model()))


def test_the_state_of_another_model_is_refused(tmp_path, trained):
    with pytest.raises(CheckpointError, match="another model"):
        restore_state(tmp_path, training_state(model(width=5)))


def test_what_a_killed_save_left_is_cleared(tmp_path, trained):
    leftover = tmp_path / ".step-00000004.writing-killed"
    leftover.mkdir()
    (leftover / "state.data-00000-of-00001").write_bytes(b"half")
    assert restore_state(tmp_path, training_state(model())) == 3
    save_state(tmp_path, training_state(trained), 5, keep=2)
    assert not leftover.exists()


def test_a_failed_save_keeps_what_is_there(tmp_path, trained):
    class Full:
        def write(self, prefix):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    with pytest.raises(CheckpointError, match="step 9 .*No space left"):
        save_state(tmp_path, Full(), 9, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    assert find_fault(tmp_path / "step-00000003") is None


def test_the_manifest_says_what_was_written(tmp_path, trained):
    manifest = json.loads((tmp_path / "step-00000003" / "manifest.json").read_text())
    assert manifest["step"] == 3
    assert set(manifest["files"]) == {"state.index", "state.data-00000-of-00001"}
