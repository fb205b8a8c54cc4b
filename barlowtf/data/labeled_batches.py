"""Batches of labeled images for a classifier: one crop of each image, an order that the epoch alone decides."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from barlowtf.data.images import decode
from barlowtf.data.pipeline import cores, input_options, readable_ids
from barlowtf.data.source import Source
from barlowtf.errors import DataError

_LOGGER = logging.getLogger("barlowtf")
_PREFETCHED_BATCHES = 2

# (image uint8 [H, W, C], its number int64 [], epoch int64 []) -> uint8 [S, S, C].
CropOne = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
# (images uint8 [n, H, W, C], their numbers int64 [n], epoch int64 []) -> uint8 [n, S, S, C].
CropMany = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Labeled:
    """Some examples of a data set, and their classes.

    Attributes:
        source: The data set.
        ids: Numbers of the examples, int64 [n].
        labels: Their classes, int64 [n].
    """

    source: Source
    ids: np.ndarray
    labels: np.ndarray

    @property
    def size(self) -> int:
        """N."""
        return len(self.ids)


def labeled(source: Source, ids: np.ndarray | None = None) -> Labeled:
    """Returns examples with their labels.

    Args:
        source: With labels.
        ids: Numbers of the examples, integer [n]; None: all.

    Raises:
        DataError: No labels.
    """
    ids = np.arange(source.size, dtype=np.int64) if ids is None else np.asarray(ids, np.int64)
    return Labeled(source, ids, source.labels_of(ids))


def readable_part(examples: Labeled, channels: int) -> Labeled:
    """Returns the examples whose images can be read, all read once; the log names those that cannot.

    Args:
        examples: Any.
        channels: Channels of the images.

    Raises:
        DataError: No image can be read.
    """
    source, ids = examples.source, examples.ids
    readable = readable_ids(source, ids, channels=channels)
    if len(readable) == len(ids):
        return examples
    lost = np.setdiff1d(ids, readable)
    names = ", ".join(source.identify(int(number)) for number in lost[:5])
    if not len(readable):
        raise DataError(f"No image of {source.name} can be read. Received {len(ids)} unreadable ones, e.g. {names}.")
    _LOGGER.warning("%d of %d images cannot be read and are left out, e.g. %s.", len(lost), len(ids), names)
    return Labeled(source, readable, examples.labels[np.isin(ids, readable)])


def steps_per_pass(size: int, batch_size: int) -> int:
    """Returns the batches of one epoch, the last one smaller where it must be."""
    return -(-size // batch_size)


def labeled_batches(
    examples: Labeled,
    *,
    crop_one: CropOne,
    crop_many: CropMany,
    batch_size: int,
    channels: int,
    seed: int,
    start_step: int,
    total_steps: int,
    workers: int | None = None,
) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yields (crops uint8 [n, S, S, C], labels int64 [n]) of the steps from `start_step` on.

    Each epoch takes every example once, in an order that (seed, epoch) decides; its last batch may be smaller. A step's
    batch depends on the step number alone, so a run resumes at any step.

    Args:
        examples: What to learn from.
        crop_one: Crop of one image; see `CropOne`.
        crop_many: Crops of images that lie in memory; see `CropMany`.
        batch_size: Images a step, >= 1.
        channels: Channels of the images.
        seed: Of the order, >= 0.
        start_step: The first step, >= 0.
        total_steps: The step after the last.
        workers: Images decoded at the same time; None: one a core.
    """
    source, workers = examples.source, workers or cores()
    per_epoch = steps_per_pass(examples.size, batch_size)

    def places() -> Iterator[tuple[np.ndarray, int]]:
        order, of_epoch = None, -1
        for step in range(start_step, total_steps):
            epoch, position = divmod(step, per_epoch)
            if epoch != of_epoch:
                generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
                order, of_epoch = generator.permutation(examples.size), epoch
            yield order[position * batch_size : (position + 1) * batch_size], epoch

    signature = (tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int64))
    steps = tf.data.Dataset.from_generator(places, output_signature=signature)
    all_ids, all_labels = tf.constant(examples.ids), tf.constant(examples.labels)

    @tf.autograph.experimental.do_not_convert
    def in_memory(place: tf.Tensor, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ids = tf.gather(all_ids, place)
        return crop_many(decode(source.read(ids), channels), ids, epoch), tf.gather(all_labels, place)

    @tf.autograph.experimental.do_not_convert
    def one(place: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        number = tf.gather(all_ids, place)
        return crop_one(decode(source.read(number), channels), number, epoch)

    @tf.autograph.experimental.do_not_convert
    def from_files(place: tf.Tensor, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.data.Dataset.from_tensor_slices(place).map(
            lambda number: one(number, epoch), num_parallel_calls=workers, deterministic=True
        )
        whole = images.batch(tf.size(place, tf.int64)).get_single_element()
        return whole, tf.gather(all_labels, place)

    make = from_files if source.image_shape is None else in_memory
    dataset = steps.map(make, num_parallel_calls=workers, deterministic=True)
    return iter(dataset.prefetch(_PREFETCHED_BATCHES).with_options(input_options(workers)))
