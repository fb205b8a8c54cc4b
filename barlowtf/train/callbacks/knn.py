"""Measures the encoder by k nearest neighbors while it trains."""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from barlowtf.metrics import knn_accuracy, linear_probe_accuracy
from barlowtf.models.features import extract_features
from barlowtf.train.callbacks.measurable import are_measurable
from barlowtf.train.callbacks.recorder import Monitor, Recorder

_LOG = logging.getLogger("barlowtf")


# Makes batches of images, float32 [m, H, W, C], and their labels, int64 [m].
LabeledImages = Callable[[], Iterable[tuple[Any, np.ndarray]]]


class _StopRequestedError(Exception):
    """Leaves a measurement because the run is to stop."""


class KNNMonitor(Monitor):
    """Records "knn_top1", the accuracy of a weighted vote of the nearest bank features, in [0, 1].

    Beside it "knn_images", the number of images that were classified, and "knn_halved": 1 where these and the bank are
    two halves of the same images, else 0.

    With a probe also "probe_top1", the accuracy of a linear classifier that is trained anew on the bank features at
    each measurement. It sees features alone, so no gradient reaches the encoder, and it leaves nothing to be saved.
    """

    def __init__(
        self,
        recorder: Recorder,
        bank: LabeledImages,
        queries: LabeledImages,
        *,
        every_epochs: int,
        total_epochs: int,
        neighbors: int,
        temperature: float,
        class_count: int,
        probe: bool = False,
        halved: bool = False,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        """Sets what is compared and when.

        Args:
            recorder: Receives the measurement.
            bank: Makes batches of normalized images and their labels int64 [m], at each measurement anew: an image that
                cannot be read any more is in none of them.
            queries: The same for the images to classify.
            every_epochs: Measure after every N-th epoch; also before the first step and after the last.
            total_epochs: Epochs of the run.
            neighbors: k; fewer where the bank is smaller.
            temperature: Temperature of the votes' weights exp(similarity / temperature).
            class_count: Number of classes.
            probe: Whether to train and measure the linear classifier.
            halved: Whether bank and queries are two halves of the same images.
            stop_requested: Called between batches; True ends the measurement and stops the run before its next step.
        """
        super().__init__(recorder)
        self.bank, self.queries = bank, queries
        self.every_epochs, self.total_epochs, self.stop_requested = every_epochs, total_epochs, stop_requested
        self.neighbors, self.temperature, self.class_count = neighbors, temperature, class_count
        self.probe, self.halved = probe, halved

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
            bank, bank_labels = self._extract(self.bank)
            queries, query_labels = self._extract(self.queries)
        except _StopRequestedError:
            # The run stops here and measures this epoch when it is resumed: nothing of it is written now.
            self.recorder.clear()
            self.model.stop_training = True
            return
        if not len(bank) or not len(queries):
            _LOG.warning("No kNN accuracy: none of the labeled images can be read.")
            return
        if not are_measurable(bank, queries, measures="kNN accuracy"):
            return
        accuracy = knn_accuracy(
            bank,
            bank_labels,
            queries,
            query_labels,
            neighbors=min(self.neighbors, len(bank)),
            temperature=self.temperature,
            class_count=self.class_count,
        )
        self.recorder.add({"knn_top1": accuracy, "knn_images": len(queries), "knn_halved": int(self.halved)})
        if self.probe:
            self.recorder.add({"probe_top1": linear_probe_accuracy(bank, bank_labels, queries, query_labels)})

    def _extract(self, batches: LabeledImages) -> tuple[np.ndarray, np.ndarray]:
        """Returns the features, float32 [M, d], and the labels, int64 [M], of the images that can be read."""
        labels = [np.zeros(0, np.int64)]

        def images() -> Iterator[Any]:
            for some, of_some in batches():
                if self.stop_requested():
                    raise _StopRequestedError
                labels.append(of_some)
                yield some

        features = extract_features(self.model.encoder, images())
        return features, np.concatenate(labels)
