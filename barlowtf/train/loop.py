"""The training loop: one for a single device, mirrored replicas, workers and a TPU."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from barlowtf.distribute import all_reduce_sum
from barlowtf.errors import NonFiniteError
from barlowtf.train.pairs import pairs_kept

_LOG = logging.getLogger("barlowtf")

# A batch (per replica, where there are several) -> {name: float32 []}.
Step = Callable[[Any], dict[str, tf.Tensor]]
# Index into `model.checked_names` of a step's first tensor that is not finite, -1 when all are.
FIRST_NONFINITE = "first_nonfinite"


def compile_step(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    *,
    xla: bool,
    stop_request: tf.Variable | None = None,
    take: Step | None = None,
) -> Step:
    """Returns the compiled training step.

    Args:
        model: The compiled model.
        strategy: Strategy that runs it.
        xla: Whether XLA compiles it.
        stop_request: 1.0 on a worker that is to stop; the logs then hold "stop_requests", the sum over replicas, so
            that all workers stop after the same step. None: one process, which agrees with nobody.
        take: What takes a step on a replica's share of a batch. None: `model.training_logs`.

    Returns:
        A function of a batch. The values are those of the first replica: terms of the loss are equal on all of them.
        Beside what Keras shows, they hold "first_nonfinite", the index into `model.checked_names` of the first tensor
        that is not finite, -1 when all are.
    """

    def replica_step(batch: Any) -> dict[str, tf.Tensor]:
        logs = (take or model.training_logs)(batch)
        if stop_request is not None:
            logs["stop_requests"] = all_reduce_sum(tf.identity(stop_request))
        return logs

    @tf.function(jit_compile=xla or None, reduce_retracing=False)
    def step(batch: Any) -> dict[str, tf.Tensor]:
        logs = strategy.run(replica_step, args=(batch,))
        return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    return step


def compile_steps(model: keras.Model, strategy: tf.distribute.Strategy, *, xla: bool, take: Step | None = None) -> Step:
    """Returns several training steps as one compiled call, so that a TPU need not wait for the host between them.

    Args:
        model: The compiled model; its `log_names` are the names of what a step returns.
        strategy: Strategy that runs it: one device or a TPU.
        xla: Whether XLA compiles it.
        take: As of `compile_step`.

    Returns:
        A function of the batches of K steps, stacked: each tensor [K, n, ...]. Its values are those of the last step,
        but "first_nonfinite" is that of the first step that has one.
    """

    def replica_steps(stacked: Any) -> dict[str, tf.Tensor]:
        def body(index: tf.Tensor, logs: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
            later = (take or model.training_logs)(tf.nest.map_structure(lambda tensor: tensor[index], stacked))
            bad = logs[FIRST_NONFINITE]
            return index + 1, {**later, FIRST_NONFINITE: tf.where(bad >= 0.0, bad, later[FIRST_NONFINITE])}

        count = tf.nest.flatten(stacked)[0].shape[0]
        before = {name: tf.constant(-1.0) for name in model.log_names}
        return tf.while_loop(lambda index, _: index < count, body, (0, before))[1]

    @tf.function(jit_compile=xla or None, reduce_retracing=False)
    def steps(stacked: Any) -> dict[str, tf.Tensor]:
        logs = strategy.run(replica_steps, args=(stacked,))
        return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    return steps


def with_fallback(preferred: Step, other: Step) -> Step:
    """Returns a step that is `preferred`, or `other` where XLA cannot compile `preferred` at the first call.

    XLA refuses a graph before it runs any of it, so the first step is taken only once.
    """
    chosen: list[Step] = []

    def step(batch: Any) -> dict[str, tf.Tensor]:
        if chosen:
            return chosen[0](batch)
        try:
            logs = preferred(batch)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.InternalError) as error:
            reason = (str(error).strip().splitlines() or [repr(error)])[0]
            _LOG.warning("XLA cannot compile the training step (%s). Training continues without XLA.", reason)
            chosen.append(other)
            return other(batch)
        chosen.append(preferred)
        return logs

    return step


@pairs_kept()
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
    """Trains from one step to the last and calls the callbacks as `fit` does.

    Args:
        model: The compiled model.
        step_function: See `compile_step`; with `steps_per_call` > 1 see `compile_steps`.
        batches: Yields the argument of each call of the step function, from step `start_step` on.
        start_step: Steps already finished, >= 0.
        total_steps: Steps of the whole run.
        steps_per_epoch: An epoch ends when the number of finished steps is a multiple of it.
        steps_per_call: Steps in each call, see `steps_of_call`.
        callbacks: Keras callbacks. Beside loss and metrics, their logs hold "step", the number of finished steps, and
            after a call "steps", the number of steps that it took, and "waited", the seconds until its batches were
            there. `model.stop_training = True` ends the run after the call.
        repeat_epoch_end: Whether to call `on_epoch_end` first, for the epoch that ended at `start_step`.

    Returns:
        The number of finished steps.

    Raises:
        NonFiniteError: A step is not finite. No callback is called for it, so nothing of it is saved or written.
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
        started = time.perf_counter()
        batch = next(batches)
        waited = time.perf_counter() - started
        logs = step_function(batch)
        step += taken
        _require_finite(model, int(logs.pop(FIRST_NONFINITE)), step, taken)
        listed.on_train_batch_end(position + taken - 1, {**logs, "step": step, "steps": taken, "waited": waited})
        if step % steps_per_epoch == 0:
            listed.on_epoch_end(epoch, {"step": step})
    listed.on_train_end({"step": step})
    return step


def _require_finite(model: keras.Model, first_nonfinite: int, step: int, taken: int) -> None:
    if first_nonfinite >= 0:
        tensor = model.checked_names[first_nonfinite]
        raise NonFiniteError(
            f"Step {step} is not finite: the first such tensor is {tensor}. The last good checkpoint is kept. Try a "
            "lower learning rate, a longer warm-up or float32.",
            step=step,
            tensor=tensor,
            bad_state=step - taken,
        )


def steps_of_call(step: int, steps_per_epoch: int, steps_per_call: int) -> int:
    """Returns the number of steps of the call that begins after `step` steps.

    Calls end at multiples of `steps_per_call` within an epoch, and at the end of the epoch, so they end at the same
    steps wherever a run begins.
    """
    position = step % steps_per_epoch
    return min((position // steps_per_call + 1) * steps_per_call, steps_per_epoch) - position
