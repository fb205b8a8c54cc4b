"""The last good state is on the disk whatever the save settings, when numbers become infinite."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.errors import NonFiniteError
from barlowtf.models import checkpoint
from barlowtf.train import callbacks, loop
from barlowtf.train.last_finite import StepsAgain, save_last_finite


class Sum(keras.Model):
    """A weight to which each batch is added; a step from a weight above 1e20 is not finite."""

    checked_names = ["images of view a", "loss"]

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer="zeros")
        self.compile(optimizer=keras.optimizers.SGD(1.0))
        self.optimizer.build(self.trainable_variables)

    def training_logs(self, batch):
        bad = tf.where(tf.abs(self.weight.value) > 1e20, 1.0, -1.0)
        self.optimizer.apply([-batch], self.trainable_variables)
        return {"loss": batch, "first_nonfinite": bad}


def explode(folder, values, *, every_steps=None, keep=3, start=0, once=None):
    """Trains until it fails; returns the error, the step that is then saved, and the weight in that checkpoint."""
    model = Sum()
    step = loop.compile_step(model, tf.distribute.get_strategy(), xla=False)
    save = callbacks.SaveCheckpoints(folder, every_steps=every_steps, every_minutes=None, keep=keep)

    def batches(first):
        return iter([tf.constant(value, tf.float32) for value in values[first:]])

    with pytest.raises(NonFiniteError) as caught:
        loop.train(
            model,
            step,
            batches(start),
            start_step=start,
            total_steps=len(values),
            steps_per_epoch=2,
            callbacks=[*(once or []), save],
        )
    again = StepsAgain(lambda _: step, batches, 2, 1, lambda: False)
    saved = save_last_finite(save.saver, model, again, bad_state=caught.value.bad_state)
    save.close()
    assert checkpoint.restore_state(folder, checkpoint.training_state(model)) == saved
    return caught.value, saved, float(model.weight)


@pytest.mark.parametrize(("every_steps", "keep"), [(None, 3), (1, 3), (1, 1), (3, 1), (4, 1)])
def test_the_state_before_the_weights_exploded_is_saved(tmp_path, every_steps, keep):
    """The fourth step takes the weight to 1e30, which is finite and of no use: no step from there is finite."""
    error, saved, weight = explode(tmp_path, [1.0, 2.0, 3.0, 1e30, 5.0, 6.0], every_steps=every_steps, keep=keep)
    assert (error.step, error.tensor, error.bad_state) == (5, "loss", 4)
    assert (saved, weight) == (3, 6.0)
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(tmp_path)][-1] == 3


def test_a_state_that_was_saved_by_a_slow_explosion_is_taken_back(tmp_path):
    # Each step is no jump for the saver, which keeps one checkpoint; the last good state is one of them.
    error, saved, weight = explode(tmp_path, [50.0, 4e3, 3e5, 2e7, 1e9, 9e10] + [9e11 * 50**n for n in range(8)],
                                   every_steps=1, keep=3)  # fmt: skip
    assert error.bad_state == error.step - 1 == saved + 1 and 1e17 < weight <= 1e20


def test_an_infinite_weight_is_named_and_not_saved(tmp_path):
    for every_steps, values in ((1, [1.0, 2.0, np.inf, 1.0]), (None, [1.0, 2.0, np.inf])):
        error, saved, weight = explode(tmp_path / str(every_steps), values, every_steps=every_steps)
        assert error.tensor.startswith("weight ")
        assert (error.step, error.bad_state, saved, weight) == (3, 3, 2, 3.0)


def test_the_first_step(tmp_path):
    class Far(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.weight.assign(1e30)

    error, saved, weight = explode(tmp_path, [1.0, 2.0], once=[Far()])
    assert (error.step, error.bad_state, saved, weight) == (1, 0, 0, 0.0)


def test_a_large_step_that_is_fine_is_saved_one_step_later(tmp_path):
    model = Sum()
    step = loop.compile_step(model, tf.distribute.get_strategy(), xla=False)
    save = callbacks.SaveCheckpoints(tmp_path, every_steps=2, every_minutes=None, keep=9)
    values = [tf.constant(value, tf.float32) for value in (1.0, 1e6, 1.0, 1.0, 1.0)]
    loop.train(model, step, iter(values), start_step=0, total_steps=5, steps_per_epoch=5, callbacks=[save])
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(tmp_path)] == [3, 4, 5]
