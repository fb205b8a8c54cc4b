"""Batches of labeled images for a classifier: one random crop of each image, every image once per epoch."""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from barlowtf.augment import CROP_A, crop_image, crop_images, draw_crops, example_seeds
from barlowtf.data.images import decode
from barlowtf.data.labeled import Labeled
from barlowtf.data.order import pass_ids
from barlowtf.data.plan import BatchPlan, crops_in_batches
from barlowtf.data.threads import PREFETCHED_BATCHES, cores, input_options


def labeled_batches(
    examples: Labeled, plan: BatchPlan, *, strategy: tf.distribute.Strategy | None = None
) -> Iterator[tuple[Any, Any]]:
    """Returns an iterator over the batches of the steps from `plan.start_step` on.

    Each epoch takes every example once, in the order of (seed, epoch); its last batch may be smaller. The batch of a
    step depends on the step number alone, so a run resumes at any step.

    Args:
        examples: What to learn from.
        plan: What the batches are made of.
        strategy: None or one replica: plain tensors. Several replicas: each element is what `strategy.run` takes, the
            batch cut into near-equal parts, one for each replica.

    Returns:
        Elements (crops uint8, or uint16 where `plan.rendering.depth` is 16, [n, *size, C], labels int64 [n]).

    Raises:
        DataError: The images' channels cannot become `plan.channels`.
    """
    batches = iter(_dataset(examples, plan))
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return batches
    return (tuple(_distribute(part, strategy) for part in batch) for batch in batches)


def _dataset(examples: Labeled, plan: BatchPlan) -> tf.data.Dataset:
    source, workers = examples.source, plan.workers or cores()
    all_ids, all_labels = tf.constant(examples.ids), tf.constant(examples.labels)

    def read(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns ids, int64 [n], draws, float32 [n, 1, K], and labels, int64 [n]."""
        epoch, places = pass_ids(step, size=examples.size, batch_size=plan.batch_size, seed=plan.seed)
        ids = tf.gather(all_ids, places)
        draws = draw_crops(example_seeds(plan.seed, epoch, ids), [CROP_A], plan.crop)
        return ids, draws, tf.gather(all_labels, places)

    # Without autograph: no Python control flow depends on a tensor, and errors keep their one line.
    @tf.autograph.experimental.do_not_convert
    def in_memory(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ids, draws, labels = read(step)
        (crops,) = crop_images(decode(source.read(ids), plan.channels, plan.rendering), draws, plan.crop)
        return crops, labels

    @tf.autograph.experimental.do_not_convert
    def crop_one(number: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        (crop,) = crop_image(decode(source.read(number), plan.channels, plan.rendering), draws, plan.crop)
        return crop

    @tf.autograph.experimental.do_not_convert
    def from_files(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ids, draws, labels = read(step)
        images = tf.data.Dataset.from_tensor_slices((ids, draws))
        crops = images.map(crop_one, num_parallel_calls=workers, deterministic=True)
        return crops.batch(tf.size(ids, tf.int64)).get_single_element(), labels

    steps = tf.data.Dataset.counter(plan.start_step)
    if plan.total_steps is not None:
        steps = tf.data.Dataset.range(plan.start_step, plan.total_steps)
    make = in_memory if crops_in_batches(source) else from_files
    batches = steps.map(make, num_parallel_calls=workers, deterministic=True)
    return batches.prefetch(PREFETCHED_BATCHES).with_options(input_options(workers))


def _distribute(part: tf.Tensor, strategy: tf.distribute.Strategy) -> Any:
    """Returns every replicas-th example for each replica, as `strategy.run` takes it."""
    replicas = strategy.num_replicas_in_sync
    pieces = [part[index::replicas] for index in range(replicas)]
    return strategy.experimental_distribute_values_from_function(
        lambda context: pieces[context.replica_id_in_sync_group]
    )
