"""The batches of a pre-training as an iterator that passes over unreadable images."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import tensorflow as tf

from barlowtf.data.order import step_ids
from barlowtf.data.plan import BatchPlan, Share
from barlowtf.data.skipped import FailedReads, SkippedImages
from barlowtf.data.source import Source
from barlowtf.data.two_crop_batches import two_crop_batches
from barlowtf.errors import DataError

_CONSEQUENCE = "Another one takes its place."


class TrainingBatches(Iterator):
    """Batches of `two_crop_batches`, one step after the other, each unreadable image replaced by a readable one.

    Nothing is checked while all goes well. When a step fails, its images are read one by one; each unreadable one is
    passed over (`SkippedImages`) and from then on replaced by the next readable example ((id + 1) mod size, and so on),
    and the batches go on at that step. The replacement depends on the files alone, so a resumed run takes the same.

    Under a strategy of several replicas each worker makes one of these with the same arguments. Every worker reads its
    own share of the global batch, each replica gets one batch per step, and a worker repairs its own share without the
    others.

    Attributes:
        step: Number of the step that comes next.
    """

    def __init__(
        self,
        source: Source,
        plan: BatchPlan,
        *,
        strategy: tf.distribute.Strategy | None = None,
        pairs: int = 1,
        skipped: SkippedImages | None = None,
    ) -> None:
        """Starts the input at `plan.start_step`.

        Args:
            source: The images.
            plan: What the batches are made of.
            strategy: None or one replica: plain tensors; otherwise each element is what `strategy.run` takes.
            pairs: Pairs of crops of each image, >= 1, see `two_crop_batches`.
            skipped: The images that the run passes over; None: those of this iterator alone.

        Raises:
            ValueError: `plan.batch_size` does not divide by the number of replicas.
            DataError: The batch is larger than the data set, or its channels cannot become `plan.channels`.
        """
        self.step = plan.start_step
        self._replacements: dict[int, int] = {}
        self._source, self._plan, self._pairs = source, plan, pairs
        self._skipped = SkippedImages() if skipped is None else skipped
        self._failed = FailedReads(source, plan.channels, plan.rendering, self._skipped, _CONSEQUENCE)
        self._strategy = strategy if strategy is not None and strategy.num_replicas_in_sync > 1 else None
        self._iterator = self._start()

    @property
    def unreadable(self) -> Mapping[int, str]:
        """Unreadable example -> why, in the order in which they were found."""
        return self._skipped.reasons(self._source)

    @property
    def replacements(self) -> Mapping[int, int]:
        """Unreadable example -> the example that is read in its place."""
        return dict(self._replacements)

    def __next__(self) -> Any:
        """Returns (crops a, crops b, seeds) of step `step`, with local crops where there are some; goes on by one.

        Raises:
            StopIteration: After the last step.
            DataError: Too many images are unreadable, or the step fails although all its images are readable.
            OSError: The list of images that are passed over cannot be written.
        """
        if self._plan.total_steps is not None and self.step >= self._plan.total_steps:
            raise StopIteration
        while True:
            try:
                batch = next(self._iterator)
            except tf.errors.OpError as error:
                self._repair(error)
                self._iterator = self._start()
            else:
                self.step += 1
                self._failed.succeed()
                return batch

    def _start(self) -> Iterator:
        batches = functools.partial(two_crop_batches, self._source, pairs=self._pairs, replacements=self._replacements)
        plan = replace(self._plan, start_step=self.step)
        if self._strategy is None:
            return iter(batches(plan))

        def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
            # Without an end: workers need not agree, over the network and at each step, on whether there is a batch.
            return batches(
                replace(plan, total_steps=None),
                share=Share(
                    index=context.input_pipeline_id,
                    count=context.num_input_pipelines,
                    pieces=context.num_replicas_in_sync // context.num_input_pipelines,
                ),
            )

        return iter(self._strategy.distribute_datasets_from_function(share))

    def _repair(self, error: tf.errors.OpError) -> None:
        """Records what to read in place of the unreadable images of this step."""
        step, plan = tf.constant(self.step, tf.int64), self._plan
        _, ids = step_ids(
            step,
            size=self._source.size,
            batch_size=plan.batch_size,
            seed=plan.seed,
            first_epoch=plan.first_epoch,
        )
        unreplaced = [number for number in ids.numpy().tolist() if number not in self._replacements]
        for number in self._failed.find(error, unreplaced):
            self._replacements[number] = self._next_readable(number)

    def _next_readable(self, number: int) -> int:
        for distance in range(1, self._source.size):
            candidate = (number + distance) % self._source.size
            if candidate not in self.unreadable and self._skipped.is_readable(
                self._source, candidate, self._plan.channels, self._plan.rendering, _CONSEQUENCE
            ):
                return candidate
        raise DataError(
            f"Cannot read any image of {self._source.name}: all {self._source.size} are unreadable. "
            "Check that the files are images."
        )
