"""From the step number to batches: two random crops of each image for training, one centre view for evaluation."""

import os
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from barlowtf.data.images import decode
from barlowtf.data.order import step_ids, steps_per_epoch
from barlowtf.data.source import Source

# (ids int64 [n], epoch int64 []) -> seeds int32 [n, 2], uniforms float32 [n, 2, K]: K numbers for each view's crop.
Draw = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
# (image uint8 [H, W, C], uniforms float32 [2, K]) -> crop a, crop b, both uint8 [S, S, C].
Crop = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
# (images uint8 [n, H, W, C], uniforms float32 [n, 2, K]) -> crops a, crops b, both uint8 [n, S, S, C].
CropBatch = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# Batches that wait for the training step.
_PREFETCHED_BATCHES = 2
# Evaluation views: the short side is 256 for a view of 224, and small images are not cut at all.
_CENTER_RATIO = 256 / 224
_CENTER_CUT_FROM = 64
# Pair p of an example draws as the first pair does this many epochs times p later: no run lasts so long.
_EPOCHS_BETWEEN_PAIRS = 2**24


def two_crop_batches(
    source: Source,
    *,
    draw: Draw,
    crop: Crop,
    batch_size: int,
    channels: int,
    seed: int,
    start_step: int = 0,
    total_steps: int | None = None,
    shard_index: int = 0,
    shard_count: int = 1,
    pieces: int = 1,
    pairs: int = 1,
    replacements: Mapping[int, int] | None = None,
    workers: int | None = None,
    crop_batch: CropBatch | None = None,
) -> tf.data.Dataset:
    """Returns the batches of the training steps from `start_step` on, in order.

    The batch of a step depends on the step number alone (D6): starting at step 7 gives what comes after step 6. The
    shards' batches of a step, one after the other, are the batch of one shard. An image that cannot be read raises
    `tf.errors.OpError` at its step; `CropBatches` replaces it.

    Args:
        source: The images.
        draw: Seeds and crop uniforms of a batch; called once a step, see `Draw`.
        crop: Two crops of an image; called once an image, see `Crop`.
        batch_size: Global batch N, a multiple of `shard_count` * `pieces`.
        channels: Channels of the images, >= 1.
        seed: Seed of the order, in [0, 2**31).
        start_step: The first step, >= 0.
        total_steps: The step after the last; None: without end.
        shard_index: Which share of each global batch, in [0, `shard_count`).
        shard_count: Number of input pipelines over all workers.
        pieces: Consecutive batches into which this shard's share of a step is cut: replicas of an input pipeline.
        pairs: Pairs of crops of each image, P >= 1: a batch holds the first pair of all its images, then the second.
        replacements: Unreadable example -> the example that is read in its place. Draws stay those of the first.
        workers: Images decoded at the same time; None: one a core.
        crop_batch: Two crops of each of many images; takes the place of `crop` where the images lie in memory
            (`source.image_shape` is known), and is many times faster there.

    Returns:
        Elements (crops a uint8 [P * n, S, S, C], crops b uint8 [P * n, S, S, C], seeds int32 [P * n, 2]) with
        n = N / (`shard_count` * `pieces`).

    Raises:
        ValueError: `batch_size` does not divide, or `shard_index` is out of range.
        DataError: The batch is larger than the data set, or its channels cannot become `channels`.
    """
    if batch_size % (shard_count * pieces):
        raise ValueError(
            f"The batch does not divide. Received batch_size {batch_size} for {shard_count * pieces} replicas. "
            "Expected a multiple."
        )
    if not 0 <= shard_index < shard_count:
        raise ValueError(f"shard_index does not fit. Received {shard_index}. Expected 0 to {shard_count - 1}.")
    steps_per_epoch(source.size, batch_size)
    share = batch_size // shard_count
    replace = _replacer(replacements or {})
    workers = workers or cores()

    # Without autograph: no Python control flow depends on a tensor, and errors keep their one line.
    @tf.autograph.experimental.do_not_convert
    def examples(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        epoch, ids = step_ids(step, size=source.size, batch_size=batch_size, seed=seed)
        ids = ids[shard_index * share : (shard_index + 1) * share]  # [N] -> [share]
        drawn = [draw(ids, epoch + pair * _EPOCHS_BETWEEN_PAIRS) for pair in range(pairs)]
        ids = replace(ids)
        parts = zip(*((ids, seeds, uniforms) for seeds, uniforms in drawn), strict=True)
        return tuple(_pair_after_pair(part, pieces) for part in parts)

    dataset = _steps(start_step, total_steps)
    if crop_batch is not None and source.image_shape is not None:
        dataset = _whole_steps(dataset, source, examples, crop_batch, channels, pieces, workers)
    else:
        dataset = _image_by_image(dataset, source, examples, crop, channels, pairs * share // pieces, workers)
    return dataset.prefetch(_PREFETCHED_BATCHES * pieces).with_options(input_options(workers))


def center_views(
    source: Source, ids: np.ndarray, *, size: int, channels: int, batch_size: int, workers: int | None = None
) -> tf.data.Dataset:
    """Returns the centre view of each of some images, in the order of `ids`, for evaluation.

    The short side becomes `size` * 256 / 224 (below 64 pixels: `size`) by anti-aliased bilinear interpolation; the
    centre is cut out. An unreadable image raises `tf.errors.OpError`; `readable_ids` leaves them out before.

    Args:
        source: The images.
        ids: Numbers of the examples, integer [n].
        size: Height and width of a view, pixels, >= 1.
        channels: Channels of the images, >= 1.
        batch_size: Images a batch, >= 1; the last may have fewer.
        workers: Images decoded at the same time; None: one a core.

    Returns:
        Batches uint8 [<= batch_size, size, size, channels].

    Raises:
        DataError: The images' channels cannot become `channels`.

    Source: facebookresearch/barlowtwins evaluate.py, val_dataset.
    """
    workers = workers or cores()

    @tf.autograph.experimental.do_not_convert
    def view(index: tf.Tensor) -> tf.Tensor:
        return center_view(decode(source.read(index), channels), size)

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(ids, np.int64))
    dataset = dataset.map(view, num_parallel_calls=workers, deterministic=True)
    return dataset.batch(batch_size).prefetch(_PREFETCHED_BATCHES).with_options(input_options(workers))


def readable_ids(source: Source, ids: np.ndarray, *, channels: int, workers: int | None = None) -> np.ndarray:
    """Returns those of some examples that can be read and decoded, in their order; reads them all once.

    Args:
        source: The images.
        ids: Numbers of the examples, integer [n].
        channels: Channels of the images, >= 1.
        workers: Images decoded at the same time; None: one a core.

    Returns:
        int64 [<= n].
    """
    workers = workers or cores()

    @tf.autograph.experimental.do_not_convert
    def check(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Something of the image must be returned: graph optimization removes a decoder whose result nobody takes.
        return index, tf.shape(decode(source.read(index), channels))

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(ids, np.int64))
    dataset = dataset.map(check, num_parallel_calls=workers, deterministic=True).ignore_errors()
    batches = [readable.numpy() for readable, _ in dataset.batch(1024).with_options(input_options(workers))]
    return np.concatenate([np.zeros(0, np.int64), *batches])


def center_view(image: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the center of an image; one resampling of the window that is kept.

    Args:
        image: uint8 [H, W, C], or several of one size, [n, H, W, C].
        size: Height and width of the view, pixels, >= 1.

    Returns:
        uint8 [size, size, C] or [n, size, size, C].
    """
    short = round(size * _CENTER_RATIO) if size >= _CENTER_CUT_FROM else size
    images = image if image.shape.rank == 4 else image[tf.newaxis]
    extent = tf.shape(images)[1:3]
    resized = tf.cast(short * extent // tf.reduce_min(extent), tf.float32)  # [2], the short one is `short`
    offset = tf.round((resized - size) / 2)
    views = tf.raw_ops.ScaleAndTranslate(
        images=images,
        size=[size, size],
        scale=resized / tf.cast(extent, tf.float32),
        translation=-offset,
        kernel_type="triangle",
        antialias=True,
    )
    views = tf.cast(tf.clip_by_value(tf.round(views), 0.0, 255.0), tf.uint8)
    views = tf.ensure_shape(views, [None, size, size, image.shape[-1]])
    return views if image.shape.rank == 4 else views[0]


def _image_by_image(
    steps: tf.data.Dataset, source: Source, examples: Callable, crop: Crop, channels: int, batch: int, workers: int
) -> tf.data.Dataset:
    """Returns batches of images that are read, decoded and cropped one by one."""

    @tf.autograph.experimental.do_not_convert
    def views(index: tf.Tensor, seeds: tf.Tensor, uniforms: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        crop_a, crop_b = crop(decode(source.read(index), channels), uniforms)
        return crop_a, crop_b, seeds

    images = steps.map(examples).unbatch().map(views, num_parallel_calls=workers, deterministic=True)
    return images.batch(batch, drop_remainder=True)


def _whole_steps(
    steps: tf.data.Dataset,
    source: Source,
    examples: Callable,
    crop_batch: CropBatch,
    channels: int,
    pieces: int,
    workers: int,
) -> tf.data.Dataset:
    """Returns batches of images in memory; one call makes the share of a step."""

    @tf.autograph.experimental.do_not_convert
    def views(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        ids, seeds, uniforms = examples(step)
        crops_a, crops_b = crop_batch(decode(source.read(ids), channels), uniforms)
        # [share, ...] -> [pieces, n, ...]
        return tuple(tf.reshape(part, [pieces, -1, *part.shape[1:]]) for part in (crops_a, crops_b, seeds))

    return steps.map(views, num_parallel_calls=workers, deterministic=True).unbatch()


def _pair_after_pair(tensors: tuple[tf.Tensor, ...], pieces: int) -> tf.Tensor:
    """Returns P tensors [share, ...] as one, [P * share, ...]: within each of the pieces one pair after the other."""
    if len(tensors) == 1:
        return tensors[0]
    rest = tensors[0].shape[1:]
    stacked = tf.stack([tf.reshape(tensor, [pieces, -1, *rest]) for tensor in tensors], axis=1)  # [pieces, P, n, ...]
    return tf.reshape(stacked, [-1, *rest])


def _steps(start: int, total: int | None) -> tf.data.Dataset:
    if total is None:
        return tf.data.Dataset.counter(start)
    return tf.data.Dataset.range(start, total)


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


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def input_options(workers: int) -> tf.data.Options:
    """Returns options that keep the input's threads from growing over those that were asked for."""
    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = workers
    # An image is small: splitting one over threads costs more than it gives.
    options.threading.max_intra_op_parallelism = 1
    return options
