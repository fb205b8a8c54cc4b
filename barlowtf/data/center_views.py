"""The center view of an image, for monitors and evaluation."""

import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from barlowtf.data.images import decode
from barlowtf.data.rendering import EIGHT_BITS, Rendering
from barlowtf.data.skipped import FailedReads, SkippedImages
from barlowtf.data.source import Source
from barlowtf.data.threads import PREFETCHED_BATCHES, cores, input_options

# The short side is 256 for a view of 224, and small images are not cut at all.
_CENTER_RATIO = 256 / 224
_CENTER_CUT_FROM = 64


def short_side(size: int) -> int:
    """Returns the length of the short side of an image, pixels, of which the center view shows `size` pixels."""
    return round(size * _CENTER_RATIO) if size >= _CENTER_CUT_FROM else size


def center_view(image: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the center of an image; one resampling of the window that is kept.

    Args:
        image: uint8 or uint16 [H, W, C], or several of one size, [n, H, W, C].
        size: Height and width of the view, pixels, >= 1.

    Returns:
        The type of `image`, [size, size, C] or [n, size, size, C].
    """
    short = short_side(size)
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
    views = tf.cast(tf.clip_by_value(tf.round(views), 0.0, float(image.dtype.max)), image.dtype)
    views = tf.ensure_shape(views, [None, size, size, image.shape[-1]])
    return views if image.shape.rank == 4 else views[0]


def center_views(
    source: Source,
    ids: np.ndarray,
    *,
    size: int,
    channels: int,
    batch_size: int,
    rendering: Rendering = EIGHT_BITS,
    workers: int | None = None,
) -> tf.data.Dataset:
    """Returns the center view of each of some images, in the order of `ids`.

    The short side becomes `size` * 256 / 224 (below 64 pixels: `size`) by antialiased bilinear interpolation; the
    center is cut out. An unreadable image raises `tf.errors.OpError`; `readable_views` leaves them out.

    Args:
        source: The images.
        ids: Numbers of the examples, integer [n].
        size: Height and width of a view, pixels, >= 1.
        channels: Channels of the images, >= 1.
        batch_size: Images per batch, >= 1; the last may have fewer.
        rendering: Bits, white and background of the images.
        workers: Number of images decoded at the same time; None: one for each core.

    Returns:
        Batches uint8, or uint16 where `rendering.depth` is 16, [<= batch_size, size, size, channels].

    Raises:
        DataError: The images' channels cannot become `channels`.

    Source: facebookresearch/barlowtwins evaluate.py, val_dataset.
    """
    workers = workers or cores()

    @tf.autograph.experimental.do_not_convert
    def view(index: tf.Tensor) -> tf.Tensor:
        return center_view(decode(source.read(index), channels, rendering), size)

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(ids, np.int64))
    dataset = dataset.map(view, num_parallel_calls=workers, deterministic=True)
    return dataset.batch(batch_size).prefetch(PREFETCHED_BATCHES).with_options(input_options(workers))


def readable_views(
    source: Source,
    ids: np.ndarray,
    *,
    size: int,
    channels: int,
    batch_size: int,
    skipped: SkippedImages,
    rendering: Rendering = EIGHT_BITS,
    workers: int | None = None,
) -> Iterator[tuple[np.ndarray, tf.Tensor]]:
    """Yields numbers and center views of those of some images that can be read, in the order of `ids`.

    Nothing is checked while all goes well. When a batch fails, its images are read one by one, and the unreadable ones
    are passed over.

    Args:
        source: The images.
        ids: Numbers of the examples, integer [n].
        size: See `center_views`, as `channels`, `batch_size`, `rendering` and `workers`.
        channels: Channels of the images, >= 1.
        batch_size: Images per batch, >= 1; a batch may have fewer.
        skipped: The images that the run or command passes over: those of `ids` are left out, and new ones added.
        rendering: Bits, white and background of the images.
        workers: Number of images decoded at the same time; None: one for each core.

    Yields:
        (int64 [m], uint8 or uint16 [m, size, size, channels]), m <= batch_size.

    Raises:
        DataError: Too many images cannot be read, or their channels cannot become `channels`.
        OSError: The list of images that are passed over cannot be written.
    """
    ids, done = skipped.without(source, np.asarray(ids, np.int64)), 0
    failed = FailedReads(source, channels, rendering, skipped)
    view = functools.partial(
        center_views,
        source,
        size=size,
        channels=channels,
        batch_size=batch_size,
        rendering=rendering,
        workers=workers,
    )
    while done < len(ids):
        batches = iter(view(ids[done:]))
        while done < len(ids):
            try:
                views = next(batches)
            except tf.errors.OpError as error:
                batch = slice(done, done + batch_size)
                bad = failed.find(error, ids[batch])
                ids = np.delete(ids, done + np.flatnonzero(np.isin(ids[batch], bad)))
                break
            failed.succeed()
            yield ids[done : done + len(views)], views
            done += len(views)


def readable_ids(
    source: Source,
    ids: np.ndarray,
    *,
    channels: int,
    rendering: Rendering = EIGHT_BITS,
    workers: int | None = None,
) -> np.ndarray:
    """Returns those of some examples that can be read and decoded, in their order; reads them all once.

    Args:
        source: The images.
        ids: Numbers of the examples, integer [n].
        channels: Channels of the images, >= 1.
        rendering: How they are decoded; the pixels that they may have.
        workers: Number of images decoded at the same time; None: one for each core.

    Returns:
        int64 [<= n].

    Raises:
        DataError: The images' channels cannot become `channels`.
    """
    workers = workers or cores()

    @tf.autograph.experimental.do_not_convert
    def check(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Something of the image must be returned: graph optimization removes a decoder whose result nobody takes.
        return index, tf.shape(decode(source.read(index), channels, rendering))

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(ids, np.int64))
    dataset = dataset.map(check, num_parallel_calls=workers, deterministic=True).ignore_errors()
    batches = [readable.numpy() for readable, _ in dataset.batch(1024).with_options(input_options(workers))]
    return np.concatenate([np.zeros(0, np.int64), *batches])
