"""The monitor that needs data of its own: kNN accuracy on labeled images."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from barlowtf import data
from barlowtf.train.callbacks import KNNMonitor, Recorder


def make_knn_monitor(
    recorder: Recorder,
    train: data.Source,
    test: data.Source | None,
    *,
    views: Callable[[data.Source, np.ndarray], tf.data.Dataset],
    bank_size: int,
    query_count: int,
    seed: int,
    every_epochs: int,
    total_epochs: int,
    neighbors: int,
    temperature: float,
    probe: bool,
    stop_requested: Callable[[], bool],
) -> KNNMonitor:
    """Returns the kNN monitor: labeled images as bank, test images, where there are any, as queries.

    Args:
        recorder: Receives the measurements.
        train: Images with labels.
        test: Test images. None, or without labels: `train` is halved; the labels of the queries are then
            unseen, their pixels are not.
        views: Source and ids -> batches of normalized center views, float32 [n, S, S, C].
        bank_size: Maximum number of images in the bank.
        query_count: Maximum number of images to classify.
        seed: Seed of the choice, >= 0.
        every_epochs: See `KNNMonitor`.
        total_epochs: See `KNNMonitor`.
        neighbors: k; fewer where the bank is smaller.
        temperature: See `KNNMonitor`.
        probe: See `KNNMonitor`.
        stop_requested: See `KNNMonitor`.
    """
    if test is None or not test.has_labels:
        shuffled = data.sample_ids(train.size, bank_size + query_count, seed=seed)
        test, query_ids, bank_ids = train, shuffled[::2][:query_count], shuffled[1::2][:bank_size]
    else:
        bank_ids = data.sample_ids(train.size, bank_size, seed=seed)
        query_ids = data.sample_ids(test.size, query_count, seed=seed)
    bank_labels, query_labels = train.labels_of(bank_ids), test.labels_of(query_ids)
    return KNNMonitor(
        recorder,
        (views(train, bank_ids), bank_labels),
        (views(test, query_ids), query_labels),
        every_epochs=every_epochs,
        total_epochs=total_epochs,
        neighbors=min(neighbors, len(bank_ids)),
        temperature=temperature,
        class_count=int(max(bank_labels.max(), query_labels.max())) + 1,
        probe=probe,
        stop_requested=stop_requested,
    )
