"""From the step number to the batches of a pre-training: two random crops of each image, and smaller ones.

Letters: N images in the global batch, n on a replica, P pairs of crops of each, K local crops for each pair.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf

from barlowtf.augment import (
    CROP_A,
    CROP_B,
    CropPlan,
    crop_image,
    crop_images,
    draw_crops,
    example_seeds,
    local_streams,
    pair_epoch,
)
from barlowtf.data.images import decode
from barlowtf.data.order import step_ids, steps_per_epoch
from barlowtf.data.plan import BatchPlan, Share, crops_in_batches
from barlowtf.data.source import Source
from barlowtf.data.threads import PREFETCHED_BATCHES, cores, input_options

_WHOLE_BATCH = Share()

# step int64 [] -> (ids int64 [m], seeds int32 [m, 2], draws of both crops float32 [m, 2, draws] and, where there are
# local crops, of those [m, K, draws]) of a share, m = P * N / count.
_Examples = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]


def two_crop_batches(
    source: Source,
    plan: BatchPlan,
    *,
    share: Share = _WHOLE_BATCH,
    pairs: int = 1,
    replacements: Mapping[int, int] | None = None,
) -> tf.data.Dataset:
    """Returns the batches of the training steps from `plan.start_step` on, in order.

    The batch of a step depends on the step number alone (D6): starting at step 7 gives what comes after step 6. The
    batches of a step of all shares, one after the other, are the batch of one share. An image that cannot be read
    raises `tf.errors.OpError` at its step; `TrainingBatches` replaces it.

    Small images in memory (`crops_in_batches`) are cropped a whole step at a time, which is many times faster; a
    pixel may differ there by one step of 255 from what the same images give one by one.

    Args:
        source: The images.
        plan: What the batches are made of. `plan.batch_size` is a multiple of `share.count` * `share.pieces`.
        share: Which part of each global batch.
        pairs: Pairs of crops of each image, P >= 1: a batch holds the first pair of all its images, then the second.
        replacements: Unreadable example -> the example that is read in its place. Draws remain those of the first.

    Returns:
        Elements (crops a [P * n, *size, C], crops b [P * n, *size, C], seeds int32 [P * n, 2]) with
        n = N / (`share.count` * `share.pieces`); with `plan.local` also its crops, [P * n, K, *size, C]. Crops are
        uint8, or uint16 where `plan.rendering.depth` is 16.

    Raises:
        ValueError: The batch does not divide, or `share.index` is out of range.
        DataError: The batch is larger than the data set, or its channels cannot become `plan.channels`.
    """
    replicas = share.count * share.pieces
    if plan.batch_size % replicas:
        raise ValueError(f"Invalid batch_size: received {plan.batch_size}, expected a multiple of {replicas} replicas.")
    if not 0 <= share.index < share.count:
        raise ValueError(f"Invalid share: received index {share.index}, expected 0 to {share.count - 1}.")
    steps_per_epoch(source.size, plan.batch_size)
    workers = plan.workers or cores()
    examples = _example_reader(source, plan, share, pairs, replacements or {})
    if plan.total_steps is None:
        steps = tf.data.Dataset.counter(plan.start_step)
    else:
        steps = tf.data.Dataset.range(plan.start_step, plan.total_steps)
    if crops_in_batches(source):
        dataset = _step_by_step(steps, source, examples, plan, share.pieces, workers)
    else:
        dataset = _image_by_image(steps, source, examples, plan, pairs * plan.batch_size // replicas, workers)
    return dataset.prefetch(PREFETCHED_BATCHES * share.pieces).with_options(input_options(workers))


def _example_reader(
    source: Source, plan: BatchPlan, share: Share, pairs: int, replacements: Mapping[int, int]
) -> _Examples:
    """Returns a function from a step to the ids, seeds and draws of its share."""
    share_size = plan.batch_size // share.count
    replace = _replacer(replacements)
    kinds = _kinds(plan)

    # Without autograph: no Python control flow depends on a tensor, and errors keep their one line.
    @tf.autograph.experimental.do_not_convert
    def examples(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        epoch, ids = step_ids(
            step, size=source.size, batch_size=plan.batch_size, seed=plan.seed, first_epoch=plan.first_epoch
        )
        ids = ids[share.index * share_size : (share.index + 1) * share_size]  # [N] -> [share]
        seeds = [example_seeds(plan.seed, pair_epoch(epoch, pair), ids) for pair in range(pairs)]
        draws = [[draw_crops(of_pair, streams, crop) for of_pair in seeds] for crop, streams in kinds]
        parts = ([replace(ids)] * pairs, seeds, *draws)
        return tuple(_pair_after_pair(part, share.pieces) for part in parts)

    return examples


def _image_by_image(
    steps: tf.data.Dataset, source: Source, examples: _Examples, plan: BatchPlan, batch: int, workers: int
) -> tf.data.Dataset:
    """Returns batches of images that are read, decoded and cropped one by one."""

    @tf.autograph.experimental.do_not_convert
    def views(index: tf.Tensor, seeds: tf.Tensor, *draws: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = decode(source.read(index), plan.channels, plan.rendering)
        (crop_a, crop_b), *local = (
            crop_image(image, of_kind, crop) for of_kind, (crop, _) in zip(draws, _kinds(plan), strict=True)
        )
        return crop_a, crop_b, seeds, *(tf.stack(crops) for crops in local)

    images = steps.map(examples).unbatch().map(views, num_parallel_calls=workers, deterministic=True)
    return images.batch(batch, drop_remainder=True)


def _step_by_step(
    steps: tf.data.Dataset, source: Source, examples: _Examples, plan: BatchPlan, pieces: int, workers: int
) -> tf.data.Dataset:
    """Returns batches of images in memory; one call makes the share of a step."""

    @tf.autograph.experimental.do_not_convert
    def views(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        ids, seeds, *draws = examples(step)
        images = decode(source.read(ids), plan.channels, plan.rendering)
        (crops_a, crops_b), *local = (
            crop_images(images, of_kind, crop) for of_kind, (crop, _) in zip(draws, _kinds(plan), strict=True)
        )
        parts = (crops_a, crops_b, seeds, *(tf.stack(crops, axis=1) for crops in local))
        # [share, ...] -> [pieces, n, ...]
        return tuple(tf.reshape(part, [pieces, -1, *part.shape[1:]]) for part in parts)

    return steps.map(views, num_parallel_calls=workers, deterministic=True).unbatch()


def _kinds(plan: BatchPlan) -> list[tuple[CropPlan, list[int]]]:
    """Returns how crops are cut and the stream of each: the two of a pair, and local ones where there are some."""
    kinds = [(plan.crop, [CROP_A, CROP_B])]
    if plan.local is not None:
        kinds.append((plan.local.crop, [stream for stream, _ in local_streams(plan.local.count)]))
    return kinds


def _pair_after_pair(tensors: list[tf.Tensor], pieces: int) -> tf.Tensor:
    """Returns P tensors [share, ...] as one, [P * share, ...]: within each of the pieces one pair after the other."""
    if len(tensors) == 1:
        return tensors[0]
    rest = tensors[0].shape[1:]
    stacked = tf.stack([tf.reshape(tensor, [pieces, -1, *rest]) for tensor in tensors], axis=1)  # [pieces, P, n, ...]
    return tf.reshape(stacked, [-1, *rest])


def _replacer(replacements: Mapping[int, int]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function that exchanges the unreadable among ids, int64 [n]."""
    if not replacements:
        return tf.identity
    bad = tf.constant(list(replacements.keys()), tf.int64)
    good = tf.constant(list(replacements.values()), tf.int64)

    def replace(ids: tf.Tensor) -> tf.Tensor:
        found = ids[:, tf.newaxis] == bad  # [n, bad]
        substitutes = tf.gather(good, tf.argmax(found, axis=1))
        return tf.where(tf.reduce_any(found, axis=1), substitutes, ids)

    return replace
