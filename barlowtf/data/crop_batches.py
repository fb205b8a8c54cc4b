"""The training batches as an iterator that passes over unreadable images."""

import functools
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from barlowtf.data.images import unreadable_reason
from barlowtf.data.order import step_ids
from barlowtf.data.pipeline import Crop, CropBatch, Draw, two_crop_batches
from barlowtf.data.source import Source
from barlowtf.errors import DataError

_LOGGER = logging.getLogger("barlowtf")


class CropBatches(Iterator):
    """Batches of `two_crop_batches`, one step after the other, each unreadable image replaced by a readable one.

    Nothing is checked while all goes well. When a step fails, its images are read one by one; each unreadable one is
    named in the log and from then on replaced by the next readable example ((id + 1) mod size, and so on), and the
    batches go on at that step. The replacement depends on the files alone, so a resumed run takes the same.

    Under a strategy each worker makes one of these with the same arguments. Every worker reads its own share of the
    global batch, each replica gets one batch a step, and a worker repairs its own share without the others.

    Attributes:
        step: Number of the step that comes next.
        unreadable: Unreadable example -> why, in the order in which they were found.
    """

    def __init__(
        self,
        source: Source,
        *,
        draw: Draw,
        crop: Crop,
        batch_size: int,
        channels: int,
        seed: int,
        start_step: int = 0,
        total_steps: int,
        max_unreadable: int = 100,
        strategy: tf.distribute.Strategy | None = None,
        pairs: int = 1,
        workers: int | None = None,
        crop_batch: CropBatch | None = None,
    ) -> None:
        """Starts the input at `start_step`.

        Args:
            source: The images.
            draw: Seeds and crop uniforms of a batch, see `barlowtf.data.Draw`.
            crop: Two crops of an image, see `barlowtf.data.Crop`.
            batch_size: Global batch N, a multiple of the strategy's replicas.
            channels: Channels of the images, >= 1.
            seed: Seed of the order, in [0, 2**31).
            start_step: The first step, >= 0.
            total_steps: The step after the last.
            max_unreadable: How many unreadable images to pass over, >= 0.
            pairs: Pairs of crops of each image, >= 1, see `two_crop_batches`.
            strategy: None: plain tensors; otherwise each element is what `strategy.run` takes.
            workers: Images decoded at the same time; None: one a core.
            crop_batch: Two crops of each of many images, for images in memory, see `two_crop_batches`.

        Raises:
            ValueError: `batch_size` does not divide by the number of replicas.
            DataError: The batch is larger than the data set, or its channels cannot become `channels`.
        """
        self.step = start_step
        self.unreadable: dict[int, str] = {}
        self._replacements: dict[int, int] = {}
        self._source, self._channels = source, channels
        self._total_steps, self._max_unreadable, self._strategy = total_steps, max_unreadable, strategy
        self._order = functools.partial(step_ids, size=source.size, batch_size=batch_size, seed=seed)
        self._batches = functools.partial(
            two_crop_batches,
            source,
            draw=draw,
            crop=crop,
            batch_size=batch_size,
            channels=channels,
            seed=seed,
            pairs=pairs,
            workers=workers,
            crop_batch=crop_batch,
        )
        self._iterator = self._start()

    @property
    def replacements(self) -> Mapping[int, int]:
        """Unreadable example -> the example that is read in its place."""
        return dict(self._replacements)

    def __next__(self) -> Any:
        """Returns (crops a, crops b, seeds) of step `step` and goes on by one.

        Raises:
            StopIteration: After the last step.
            DataError: More than `max_unreadable` images are unreadable.
            tf.errors.OpError: The step fails although all its images are readable.
        """
        if self.step >= self._total_steps:
            raise StopIteration
        while True:
            try:
                batch = next(self._iterator)
            except tf.errors.OpError as error:
                self._repair(error)
                self._iterator = self._start()
            else:
                self.step += 1
                return batch

    def _start(self) -> Iterator:
        batches = functools.partial(self._batches, start_step=self.step, replacements=self._replacements)
        if self._strategy is None:
            return iter(batches(total_steps=self._total_steps))

        def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
            # Without an end: workers need not agree, over the network and at each step, on whether there is a batch.
            return batches(
                shard_index=context.input_pipeline_id,
                shard_count=context.num_input_pipelines,
                pieces=context.num_replicas_in_sync // context.num_input_pipelines,
            )

        return iter(self._strategy.distribute_datasets_from_function(share))

    def _repair(self, error: tf.errors.OpError) -> None:
        """Records the unreadable images of this step and what to read in their place, or raises `error`."""
        _, ids = self._order(tf.constant(self.step, tf.int64))
        unreplaced = [number for number in ids.numpy().tolist() if number not in self._replacements]
        # Some are known already: they were in the way when a replacement was looked for.
        bad = [number for number in unreplaced if number in self.unreadable or not self._check(number)]
        if not bad:
            raise error
        for number in bad:
            self._replacements[number] = self._next_readable(number)

    def _next_readable(self, number: int) -> int:
        for distance in range(1, self._source.size):
            candidate = (number + distance) % self._source.size
            if candidate not in self.unreadable and self._check(candidate):
                return candidate
        raise DataError(f"No image of {self._source.name} can be read. Received {self._source.size} unreadable images.")

    def _check(self, number: int) -> bool:
        """Returns whether an example is readable; records it, names it and counts it if not."""
        reason = unreadable_reason(self._source, number, self._channels)
        if reason is None:
            return True
        name = self._source.identify(number)
        self.unreadable[number] = reason
        _LOGGER.warning("Unreadable image %s: %s. Another one takes its place.", name, reason.rstrip("."))
        if len(self.unreadable) > self._max_unreadable:
            raise DataError(
                f"Too many unreadable images. Received {len(self.unreadable)}, the last is {name} ({reason}). "
                f"Expected at most {self._max_unreadable}. Repair or remove them, or raise data.max_unreadable."
            )
        return False
