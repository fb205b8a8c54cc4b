"""How the steps of a run are called: compiled by XLA or not, one or several in a call, with which batches."""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from barlowtf.config import Recipe
from barlowtf.errors import ConfigError
from barlowtf.models import BarlowTwins
from barlowtf.train import loop

# On a TPU the way from the host and back costs about as much as a short step.
_STEPS_PER_TPU_CALL = 16


def count_steps_per_call(recipe: Recipe, strategy: tf.distribute.Strategy) -> int:
    """Returns how many steps one call of the compiled graph takes.

    Raises:
        ConfigError: More than one is asked for where replicas exchange through the host.
    """
    tpu = _is_tpu(strategy)
    count = recipe.train.steps_per_call or (_STEPS_PER_TPU_CALL if tpu else 1)
    if count > 1 and strategy.num_replicas_in_sync > 1 and not tpu:
        raise ConfigError(
            f"train.steps_per_call = {count} is for one device or a TPU, received {strategy.num_replicas_in_sync} "
            "replicas. Set it to none."
        )
    return count


def make_step(
    recipe: Recipe, model: BarlowTwins, strategy: tf.distribute.Strategy, stop_request: tf.Variable | None
) -> loop.Step:
    """Returns the step function of a run: XLA where it pays, with a fallback where nobody has asked for XLA."""

    def compiled(xla: bool) -> loop.Step:
        if count_steps_per_call(recipe, strategy) > 1:
            return loop.compile_steps(model, strategy, xla=xla)
        return loop.compile_step(model, strategy, xla=xla, stop_request=stop_request)

    if recipe.train.xla != "auto":
        return compiled(recipe.train.xla == "on")
    if pays(recipe, strategy):
        return loop.with_fallback(compiled(True), compiled(False))
    return compiled(False)


def pays(recipe: Recipe, strategy: tf.distribute.Strategy) -> bool:
    """Returns whether the step is compiled by XLA when the recipe leaves it open.

    On one GPU XLA pays; on a CPU it is slower; it forbids deterministic kernels and does not nest in mirrored runs. A
    TPU compiles everything by XLA without being asked.
    """
    one_gpu = bool(tf.config.list_physical_devices("GPU")) and strategy.num_replicas_in_sync == 1
    return one_gpu and not recipe.train.deterministic


def group_batches(
    batches: Iterator[Any], strategy: tf.distribute.Strategy, *, start_step: int, steps_per_epoch: int, per_call: int
) -> Iterator[Any]:
    """Returns the batches as `train.loop` calls for them: one a call, or those of a call stacked, [K, n, ...]."""
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
