"""The training loop: one for a single device and for many."""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


def compile_step(model: keras.Model, strategy: tf.distribute.Strategy, *, xla: bool) -> Any:
    """Returns the compiled training step: a batch (per replica, where there are several) -> {name: float32 []}.

    The values are those of the first replica: terms of the loss are equal on all of them.
    """

    @tf.function(jit_compile=xla or None, reduce_retracing=False)
    def step(batch: Any) -> dict[str, tf.Tensor]:
        logs = strategy.run(model.train_step, args=(batch,))
        return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    return step


def train(
    model: keras.Model,
    step_function: Any,
    batches: Iterator[Any],
    *,
    start_step: int,
    total_steps: int,
    steps_per_epoch: int,
    callbacks: list[keras.callbacks.Callback],
) -> int:
    """Trains from a step to the last one and calls the callbacks as `fit` does.

    Args:
        model: Compiled, with `train_step`.
        step_function: See `compile_step`.
        batches: Yields the batches of steps start_step, start_step + 1, ...
        start_step: Steps already finished, >= 0.
        total_steps: Steps of the whole run.
        steps_per_epoch: An epoch ends when the number of finished steps is a multiple of it.
        callbacks: Keras callbacks. Their logs hold "step", the number of finished steps; a callback may add entries
            for those after it in the list. `model.stop_training = True` ends the run after the step.

    Returns:
        The number of finished steps.
    """
    listed = keras.callbacks.CallbackList(callbacks, model=model, epochs=-(-total_steps // steps_per_epoch))
    model.stop_training = False
    step = start_step
    listed.on_train_begin({"step": step})
    while step < total_steps and not model.stop_training:
        epoch, position = divmod(step, steps_per_epoch)
        if position == 0:
            listed.on_epoch_begin(epoch, {"step": step})
        listed.on_train_batch_begin(position, {"step": step})
        logs = step_function(next(batches))
        step += 1
        listed.on_train_batch_end(position, {**logs, "step": step})
        if step % steps_per_epoch == 0:
            listed.on_epoch_end(epoch, {"step": step})
    listed.on_train_end({"step": step})
    return step
