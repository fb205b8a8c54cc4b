"""What the copy for saves takes: finite states, and none of weights that have just grown a hundredfold."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.errors import NonFiniteError
from barlowtf.models import checkpoint
from barlowtf.train.last_finite import save_last_finite
from barlowtf.train.saver import BackgroundSaver


class One(keras.Model):
    """A single weight."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer="zeros")
        self.compile(optimizer=keras.optimizers.SGD(1.0))
        self.optimizer.build(self.trainable_variables)


@pytest.fixture
def model():
    return One()


@pytest.fixture
def saver(tmp_path, model):
    return BackgroundSaver(tmp_path / "checkpoints", model, keep=3)


@pytest.fixture
def hold(saver, model):
    """Function (step, weight, **options): whether the state was copied."""

    def assign_and_hold(step, weight, **options):
        model.weight.assign(weight)
        return saver.hold(step, **options)

    return assign_and_hold


def test_weights_that_have_grown_a_hundredfold_wait_for_one_more_step(hold, saver):
    # Nothing was copied before: nothing has grown.
    assert hold(0, 1e6)
    assert hold(1, 0.5)
    # A norm below 1 is taken for 1.
    assert hold(2, 99.9)
    assert not hold(3, -99.9 * 100.1)
    assert saver.held == 2
    # The step from there was finite.
    assert hold(4, 99.9 * 100.1)
    assert hold(5, 99.9 * 100.1 * 99.9)
    assert hold(6, 1e12, even_after_jump=True)
    assert not hold(7, 1e15)


def test_a_state_that_is_not_finite_leaves_the_copy_as_it_was(hold, saver):
    assert hold(1, 2.0)
    with pytest.raises(NonFiniteError, match="The state after step 2 is not finite") as caught:
        hold(2, np.nan)
    assert (caught.value.step, caught.value.bad_state) == (2, 2)
    assert saver.give_back() == 1


class Again:
    """Steps that are taken once more: each assigns a weight; the last may be bad all the same."""

    def __init__(self, model, weights, *, fails):
        self.model, self.weights, self.fails = model, weights, fails

    def take(self, step, bad_state):
        assert bad_state == step + len(self.weights) + 1
        for weight in self.weights:
            # Sums are as they were traced, see `barlowtf.train.pairs`.
            assert not tf.config.optimizer.get_experimental_options()["arithmetic_optimization"]
            step += 1
            self.model.weight.assign(weight)
            yield step
        if self.fails:
            raise NonFiniteError("again", step=step, bad_state=step)


@pytest.mark.parametrize("fails", [False, True])
def test_steps_taken_again_are_saved_however_much_they_grow(tmp_path, fails):
    model = One()
    saver = BackgroundSaver(tmp_path, model, keep=3)
    assert saver.hold(3)
    assert save_last_finite(saver, model, Again(model, (2.0, 1e9), fails=fails), bad_state=6) == 5
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(tmp_path)] == [3, 5]
    assert checkpoint.restore_state(tmp_path, checkpoint.training_state(model)) == 5
    assert float(model.weight) == 1e9
