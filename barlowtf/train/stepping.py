"""How the steps of a run are called: compiled by XLA or not, one or several per call, with which batches."""

import logging
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import keras
import tensorflow as tf

from barlowtf import data
from barlowtf.errors import ConfigError
from barlowtf.train import loop

_LOG = logging.getLogger("barlowtf")
# On a TPU the way to the host and back costs about as much as a short step.
_STEPS_PER_TPU_CALL = 16
# The published wheels abort under XLA on this and newer GPUs: tensorflow issue 111958.
COMPUTE_CAPABILITY_WITHOUT_XLA = (12, 0)


class FrozenPhase(NamedTuple):
    """The first steps of a run, which leave its encoder as it is; they end with an epoch.

    Attributes:
        until: Number of these steps, >= 0.
        start_step: Steps finished before the first call of the step function.
        steps_per_epoch: See `loop.train`.
    """

    until: int
    start_step: int
    steps_per_epoch: int


def count_steps_per_epoch(image_count: int, *, batch_size: int, replicas: int, micro_batch: int | None) -> int:
    """Returns the number of whole batches in a data set.

    Args:
        image_count: Number of training images.
        batch_size: Global batch N, images per step.
        replicas: Number of replicas that share a batch.
        micro_batch: Images that go through the encoder at a time; None: a replica's whole share.

    Raises:
        DataError: The batch is larger than the data set.
        ConfigError: The batch does not divide over the replicas, or there are micro-batches on several replicas.
    """
    if batch_size % replicas:
        raise ConfigError(
            f"Invalid batch_size: received {batch_size}, expected a multiple of {replicas} replicas. "
            "Set train.batch_size."
        )
    if replicas > 1 and micro_batch is not None:
        raise ConfigError(
            f"Invalid micro_batch: received {micro_batch} on {replicas} replicas, expected one device. "
            "Set train.micro_batch to none, or use --strategy one."
        )
    return data.steps_per_epoch(image_count, batch_size)


def count_steps_per_call(steps_per_call: int | None, strategy: tf.distribute.Strategy) -> int:
    """Returns the number of steps that one call of the compiled graph takes.

    Args:
        steps_per_call: The number to use; None: 1, on a TPU 16.
        strategy: Strategy that runs the steps.

    Raises:
        ConfigError: It is more than 1 where replicas exchange through the host.
    """
    tpu = _is_tpu(strategy)
    count = steps_per_call or (_STEPS_PER_TPU_CALL if tpu else 1)
    if count > 1 and strategy.num_replicas_in_sync > 1 and not tpu:
        raise ConfigError(
            f"Invalid steps_per_call: received {count} on {strategy.num_replicas_in_sync} replicas, expected one "
            "device or a TPU. Set train.steps_per_call to none."
        )
    return count


def make_step(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    *,
    xla: Literal["auto", "on", "off"],
    deterministic: bool,
    steps_per_call: int,
    stop_request: tf.Variable | None,
    frozen: FrozenPhase | None = None,
) -> loop.Step:
    """Returns the step function of a run.

    Args:
        model: The compiled model.
        strategy: Strategy that runs it.
        xla: "auto": XLA where it pays, with a fallback where it cannot compile the step. "on", "off": as it says.
        deterministic: Whether kernels must be deterministic.
        steps_per_call: See `count_steps_per_call`.
        stop_request: See `loop.compile_step`.
        frozen: The first steps, in which `model.frozen_training_logs` takes the place of `model.training_logs`; None:
            none.
    """
    by_xla = xla == "on" or (xla == "auto" and xla_pays(strategy, deterministic=deterministic))

    def compiled(take: loop.Step, by_xla: bool) -> loop.Step:
        if steps_per_call > 1:
            return loop.compile_steps(model, strategy, xla=by_xla, take=take)
        return loop.compile_step(model, strategy, xla=by_xla, stop_request=stop_request, take=take)

    def chosen(take: loop.Step) -> loop.Step:
        if by_xla and xla == "auto":
            return loop.with_fallback(compiled(take, True), compiled(take, False))
        return compiled(take, by_xla)

    if frozen is None or frozen.start_step >= frozen.until:
        return chosen(model.training_logs)
    return _in_phases(chosen(model.frozen_training_logs), chosen(model.training_logs), frozen, steps_per_call)


def _in_phases(first: loop.Step, then: loop.Step, phase: FrozenPhase, steps_per_call: int) -> loop.Step:
    """Returns a step function that is `first` until the end of the phase, and `then` from there on."""
    finished = phase.start_step

    def step(batch: Any) -> dict[str, tf.Tensor]:
        nonlocal finished
        function = first if finished < phase.until else then
        finished += loop.steps_of_call(finished, phase.steps_per_epoch, steps_per_call)
        return function(batch)

    return step


def xla_pays(strategy: tf.distribute.Strategy, *, deterministic: bool) -> bool:
    """Returns whether XLA compiles the step when the recipe leaves it open.

    On one GPU XLA pays; on a CPU it is slower; it forbids deterministic kernels and does not nest in mirrored runs. A
    TPU compiles everything by XLA without being told. GPUs of compute capability 12 and above get none: TensorFlow
    would abort.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus or strategy.num_replicas_in_sync > 1 or deterministic:
        return False
    capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
    if capability is not None and capability >= COMPUTE_CAPABILITY_WITHOUT_XLA:
        _LOG.warning(
            "XLA is off: this TensorFlow aborts under XLA on GPUs of compute capability %d.%d "
            '(tensorflow issue 111958). train.xla = "on" overrides.',
            *capability,
        )
        return False
    return True


def group_batches(
    batches: Iterator[Any], strategy: tf.distribute.Strategy, *, start_step: int, steps_per_epoch: int, per_call: int
) -> Iterator[Any]:
    """Returns the batches as `loop.train` takes them: one per call, or those of a call stacked, [K, n, ...]."""
    if per_call == 1:
        return batches
    return _stacked(batches, strategy, start_step, steps_per_epoch, per_call)


def _stacked(
    batches: Iterator[Any], strategy: tf.distribute.Strategy, step: int, steps_per_epoch: int, per_call: int
) -> Iterator[Any]:
    while True:
        count = loop.steps_of_call(step, steps_per_epoch, per_call)
        # For each step and replica the tensors of a batch.
        local = [list(zip(*map(strategy.experimental_local_results, next(batches)), strict=True)) for _ in range(count)]
        # [K][R][parts] -> [parts][R], each tensor [K, n, ...]
        parts = [
            [tf.stack([replica[part] for replica in steps]) for steps in zip(*local, strict=True)]
            for part in range(len(local[0][0]))
        ]
        yield tuple(_distributed(strategy, replicas) for replicas in parts)
        step += count


def _distributed(strategy: tf.distribute.Strategy, tensors: list[tf.Tensor]) -> Any:
    """Returns one tensor for each replica as `strategy.run` takes them."""
    if len(tensors) == 1:
        return tensors[0]
    return strategy.experimental_distribute_values_from_function(
        lambda context: tensors[context.replica_id_in_sync_group]
    )


def _is_tpu(strategy: tf.distribute.Strategy) -> bool:
    return isinstance(strategy, tf.distribute.TPUStrategy)
