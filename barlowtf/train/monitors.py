"""The monitor that needs data of its own: kNN accuracy on labeled images."""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from barlowtf import data
from barlowtf.train.callbacks import KNNMonitor, Recorder

_LOG = logging.getLogger("barlowtf")


def make_knn_monitor(
    recorder: Recorder,
    train: data.Source,
    test: data.Source | None,
    *,
    views: Callable[[data.Source, np.ndarray], Iterable[tuple[np.ndarray, tf.Tensor]]],
    bank_size: int,
    query_count: int,
    seed: int,
    every_epochs: int,
    total_epochs: int,
    neighbors: int,
    temperature: float,
    probe: bool,
    stop_requested: Callable[[], bool],
) -> KNNMonitor | None:
    """Returns the kNN monitor: labeled images as bank, test images, where there are any, as queries.

    None where the labeled images among them are of fewer than two classes: the log says so.

    Args:
        recorder: Receives the measurements.
        train: Images with labels.
        test: Test images. None, or without labels: `train` is halved; the labels of the queries are then
            unseen, their pixels are not.
        views: Source and ids -> numbers, int64 [m], and normalized center views, float32 [m, S, S, C], of those of the
            images that can be read, in batches.
        bank_size: Maximum number of images in the bank.
        query_count: Maximum number of images to classify.
        seed: Seed of the choice, >= 0.
        every_epochs: See `KNNMonitor`.
        total_epochs: See `KNNMonitor`.
        neighbors: See `KNNMonitor`.
        temperature: See `KNNMonitor`.
        probe: See `KNNMonitor`.
        stop_requested: See `KNNMonitor`.
    """
    halved = test is None or not test.has_labels
    if test is None or halved:
        shuffled = data.sample_ids(train.size, bank_size + query_count, seed=seed)
        test, query_ids, bank_ids = train, shuffled[::2][:query_count], shuffled[1::2][:bank_size]
    else:
        bank_ids = data.sample_ids(train.size, bank_size, seed=seed)
        query_ids = data.sample_ids(test.size, query_count, seed=seed)
    (bank_labels, query_labels), _ = data.without_gaps([train.labels_of(bank_ids), test.labels_of(query_ids)], None)
    class_count = 1 + max(int(bank_labels.max()), int(query_labels.max()))
    if class_count < 2:
        found = "no label" if class_count < 1 else "the same label"
        _LOG.warning("No kNN accuracy: all %d sampled images of %s have %s.", len(bank_ids), train.name, found)
        return None

    def batches(source: data.Source, ids: np.ndarray, labels: np.ndarray) -> Callable[[], Iterator[Any]]:
        # Without a label, that of a damaged record for example, an image says nothing here.
        ids, labels = ids[labels >= 0], labels[labels >= 0]
        order = np.argsort(ids)
        places = ids[order]
        return lambda: (
            (images, labels[order[np.searchsorted(places, numbers)]]) for numbers, images in views(source, ids)
        )

    return KNNMonitor(
        recorder,
        batches(train, bank_ids, bank_labels),
        batches(test, query_ids, query_labels),
        every_epochs=every_epochs,
        total_epochs=total_epochs,
        neighbors=neighbors,
        temperature=temperature,
        class_count=class_count,
        probe=probe,
        halved=halved,
        stop_requested=stop_requested,
    )
