"""The training loop: one for a single device, mirrored replicas, workers and a TPU."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from barlowtf.distribute import all_reduce_sum

_LOG = logging.getLogger("barlowtf")

# A batch (per replica, where there are several) -> {name: float32 []}.
Step = Callable[[Any], dict[str, tf.Tensor]]


def compile_step(
    model: keras.Model, strategy: tf.distribute.Strategy, *, xla: bool, stop_request: tf.Variable | None = None
) -> Step:
    """Returns the compiled training step.

    Args:
        model: Compiled, with `training_logs`.
        strategy: Runs it.
        xla: Compile it by XLA.
        stop_request: 1.0 on a worker that was asked to stop; the logs then hold "stop_requests", the sum over replicas,
            so that all workers stop after the same step. None: one process, which needs nobody's agreement.

    Returns:
        A function of a batch. The values are those of the first replica: terms of the loss are equal on all of them.
    """

    def replica_step(batch: Any) -> dict[str, tf.Tensor]:
        logs = model.training_logs(batch)
        if stop_request is not None:
            logs["stop_requests"] = all_reduce_sum(tf.identity(stop_request))
        return logs

    @tf.function(jit_compile=xla or None, reduce_retracing=False)
    def step(batch: Any) -> dict[str, tf.Tensor]:
        logs = strategy.run(replica_step, args=(batch,))
        return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    return step


def compile_steps(model: keras.Model, strategy: tf.distribute.Strategy, *, xla: bool) -> Step:
    """Returns several training steps as one compiled call, which spares a TPU the way to the host and back.

    Args:
        model: Compiled, with `training_logs`, and `log_names`, the names of what that returns.
        strategy: Runs it: one device or a TPU.
        xla: Compile it by XLA.

    Returns:
        A function of the batches of K steps, stacked: each tensor [K, n, ...]. Its values are those of the last step,
        but "first_nonfinite" is that of the first step that has one.
    """

    def replica_steps(stacked: Any) -> dict[str, tf.Tensor]:
        def body(index: tf.Tensor, logs: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
            later = model.training_logs(tf.nest.map_structure(lambda tensor: tensor[index], stacked))
            bad = logs["first_nonfinite"]
            return index + 1, {**later, "first_nonfinite": tf.where(bad >= 0.0, bad, later["first_nonfinite"])}

        count = tf.nest.flatten(stacked)[0].shape[0]
        before = {name: tf.constant(-1.0) for name in model.log_names}
        return tf.while_loop(lambda index, _: index < count, body, (0, before))[1]

    @tf.function(jit_compile=xla or None, reduce_retracing=False)
    def steps(stacked: Any) -> dict[str, tf.Tensor]:
        logs = strategy.run(replica_steps, args=(stacked,))
        return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    return steps


def with_fallback(preferred: Step, other: Step) -> Step:
    """Returns `preferred`, and `other` from the first call on where the first call of `preferred` cannot be compiled.

    XLA refuses a graph before it runs any of it, so the first step is taken once.
    """
    chosen: list[Step] = []

    def step(batch: Any) -> dict[str, tf.Tensor]:
        if chosen:
            return chosen[0](batch)
        try:
            logs = preferred(batch)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.InternalError) as error:
            reason = (str(error).strip().splitlines() or [repr(error)])[0]
            _LOG.warning("XLA cannot compile the training step (%s). Training goes on without XLA.", reason)
            chosen.append(other)
            return other(batch)
        chosen.append(preferred)
        return logs

    return step


def train(
    model: keras.Model,
    step_function: Step,
    batches: Iterator[Any],
    *,
    start_step: int,
    total_steps: int,
    steps_per_epoch: int,
    steps_per_call: int = 1,
    callbacks: list[keras.callbacks.Callback],
    repeat_epoch_end: bool = False,
) -> int:
    """Trains from a step to the last one and calls the callbacks as `fit` does.

    Args:
        model: Compiled, with `training_logs`.
        step_function: See `compile_step`; with `steps_per_call` > 1 see `compile_steps`.
        batches: Yields what each call of the step function takes, from step `start_step` on.
        start_step: Steps already finished, >= 0.
        total_steps: Steps of the whole run.
        steps_per_epoch: An epoch ends when the number of finished steps is a multiple of it.
        steps_per_call: Steps in each call, see `steps_of_call`.
        callbacks: Keras callbacks. Their logs hold "step", the number of finished steps, and after a call "steps", how
            many of them it took; a callback may add entries for those after it in the list.
            `model.stop_training = True` ends the run after the call.
        repeat_epoch_end: Whether the epoch that ended at `start_step` has yet to be told to the callbacks.

    Returns:
        The number of finished steps.
    """
    listed = keras.callbacks.CallbackList(callbacks, model=model, epochs=-(-total_steps // steps_per_epoch))
    model.stop_training = False
    step = start_step
    listed.on_train_begin({"step": step})
    if repeat_epoch_end:
        listed.on_epoch_end(step // steps_per_epoch - 1, {"step": step})
    while step < total_steps and not model.stop_training:
        epoch, position = divmod(step, steps_per_epoch)
        if position == 0:
            listed.on_epoch_begin(epoch, {"step": step})
        taken = steps_of_call(step, steps_per_epoch, steps_per_call)
        listed.on_train_batch_begin(position, {"step": step})
        logs = step_function(next(batches))
        step += taken
        listed.on_train_batch_end(position + taken - 1, {**logs, "step": step, "steps": taken})
        if step % steps_per_epoch == 0:
            listed.on_epoch_end(epoch, {"step": step})
    listed.on_train_end({"step": step})
    return step


def steps_of_call(step: int, steps_per_epoch: int, steps_per_call: int) -> int:
    """Returns how many steps the call takes that begins after `step` steps.

    Calls end at multiples of `steps_per_call` within an epoch, and with the epoch: at the same steps wherever a run
    begins.
    """
    position = step % steps_per_epoch
    return min((position // steps_per_call + 1) * steps_per_call, steps_per_epoch) - position
