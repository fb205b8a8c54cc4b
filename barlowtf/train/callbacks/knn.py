"""Measures the encoder by k nearest neighbors while it trains."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from barlowtf.metrics import knn_accuracy, linear_probe_accuracy
from barlowtf.models.features import extract_features
from barlowtf.train.callbacks.recorder import Monitor, Recorder


class _StopRequestedError(Exception):
    """Leaves a measurement because the run is to stop."""


class KNNMonitor(Monitor):
    """Records "knn_top1", the accuracy of a weighted vote of the nearest bank features, in [0, 1].

    With a probe also "probe_top1", the accuracy of a linear classifier that is trained anew on the bank features at
    each measurement. It sees features alone, so no gradient reaches the encoder, and it leaves nothing to be saved.
    """

    def __init__(
        self,
        recorder: Recorder,
        bank: tuple[Iterable[Any], np.ndarray],
        queries: tuple[Iterable[Any], np.ndarray],
        *,
        every_epochs: int,
        total_epochs: int,
        neighbors: int,
        temperature: float,
        class_count: int,
        probe: bool = False,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        """Sets what is compared and when.

        Args:
            recorder: Receives the measurement.
            bank: Batches of normalized images, iterable anew each time, and their labels int64 [M].
            queries: The same for the images to classify.
            every_epochs: Measure after every N-th epoch; also before the first step and after the last.
            total_epochs: Epochs of the run.
            neighbors: k.
            temperature: Temperature of the votes' weights exp(similarity / temperature).
            class_count: Number of classes.
            probe: Whether to train and measure the linear classifier.
            stop_requested: Called between batches; True ends the measurement and stops the run before its next step.
        """
        super().__init__(recorder)
        self.bank, self.queries = bank, queries
        self.every_epochs, self.total_epochs, self.stop_requested = every_epochs, total_epochs, stop_requested
        self.neighbors, self.temperature, self.class_count = neighbors, temperature, class_count
        self.probe = probe

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Measures the encoder before its first step, unless the run resumes."""
        if int(logs["step"]) == 0:
            self._measure()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures after the epochs that are due; not where the run is stopping: it measures when it is resumed."""
        due = (epoch + 1) % self.every_epochs == 0 or epoch + 1 == self.total_epochs
        if due and not self.model.stop_training:
            self._measure()

    def _measure(self) -> None:
        try:
            features = [
                extract_features(self.model.encoder, self._until_requested(batches))
                for batches, _ in (self.bank, self.queries)
            ]
        except _StopRequestedError:
            # The run stops here and measures this epoch when it is resumed: nothing of it is written now.
            self.recorder.clear()
            self.model.stop_training = True
            return
        accuracy = knn_accuracy(
            features[0],
            self.bank[1],
            features[1],
            self.queries[1],
            neighbors=self.neighbors,
            temperature=self.temperature,
            class_count=self.class_count,
        )
        self.recorder.add({"knn_top1": accuracy})
        if self.probe:
            top1 = linear_probe_accuracy(features[0], self.bank[1], features[1], self.queries[1])
            self.recorder.add({"probe_top1": top1})

    def _until_requested(self, batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            if self.stop_requested():
                raise _StopRequestedError
            yield batch
