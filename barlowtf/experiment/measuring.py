"""One measurement: an encoder, a protocol, a seed; each protocol is one function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console

from barlowtf import data
from barlowtf.config.protocols import Logistic, Neighbors, Probe
from barlowtf.data import Labeled
from barlowtf.evaluation import Outcome, classification_outcome, fit_logistic
from barlowtf.experiment.encoders import OpenedEncoder
from barlowtf.experiment.pretraining import save_encoder
from barlowtf.experiment.probing import Probing, train_probe
from barlowtf.metrics import knn_votes, nearest_neighbors
from barlowtf.models import make_head
from barlowtf.train.interruption import Interruption

_VIEW_BATCH = 256
# Beyond which kNN looks at the queries in parts: k similarities, places and votes of each are kept meanwhile.
_QUERY_BLOCK = 4096


class Views:
    """Center views and features of an encoder, each computed once; frozen protocols share them."""

    def __init__(self, encoder: OpenedEncoder) -> None:
        """Computes nothing yet."""
        self.encoder = encoder
        self._features: dict[str, np.ndarray] = {}

    def views(self, examples: Labeled) -> tf.data.Dataset:
        """Returns batches of center views, uint8 [n, S, S, C]."""
        height, _, channels = self.encoder.image_shape
        return data.center_views(examples.source, examples.ids, size=height, channels=channels, batch_size=_VIEW_BATCH)

    def features(self, split: str, examples: Labeled) -> np.ndarray:
        """Returns features, float32 [M, d], kept under the split's name."""
        if split not in self._features:
            self._features[split] = self.encoder.features(self.views(examples))
        return self._features[split]


@dataclass(frozen=True)
class Task:
    """What is measured, on what, and where its files go."""

    views: Views
    train: Labeled
    test: Labeled
    class_count: int
    seed: int
    result: Path
    strategy: tf.distribute.Strategy
    interruption: Interruption
    console: Console


def measure_probe(task: Task, settings: Probe) -> Outcome | None:
    """Returns the outcome of a trained head; None where a signal came first."""
    probing = Probing(
        encoder=task.views.encoder,
        train=task.train,
        test_views=task.views.views(task.test),
        test_labels=task.test.labels,
        class_count=task.class_count,
        settings=settings,
        seed=task.seed,
        work=task.result.with_name(f".{task.result.name}"),
        result=task.result,
    )
    probed = train_probe(probing, strategy=task.strategy, interruption=task.interruption, console=task.console)
    if probed is None:
        return None
    last = float(np.mean(probed.last_logits.argmax(axis=1) == task.test.labels))
    outcome = classification_outcome(probed.logits, task.test.labels, epoch=probed.epoch)
    outcome.scores["top1_last_epoch"] = last
    return outcome


def measure_logistic(task: Task, settings: Logistic) -> Outcome:
    """Returns the outcome of a logistic regression, and leaves its head."""
    train, test = (task.views.features(*split) for split in (("train", task.train), ("test", task.test)))
    kernel, bias, penalty = fit_logistic(train, task.train.labels, task.class_count, settings, seed=task.seed)
    head = make_head(train.shape[1], task.class_count)
    head.set_weights([kernel, bias])
    task.result.mkdir(parents=True, exist_ok=True)
    save_encoder(head, task.result / "head.keras")
    return classification_outcome(test @ kernel + bias, task.test.labels, penalty=penalty)


def measure_neighbors(task: Task, settings: Neighbors) -> Outcome:
    """Returns the outcome of the vote of the nearest neighbors, for each k; the first k is the headline."""
    bank, queries = (task.views.features(*split) for split in (("train", task.train), ("test", task.test)))
    kept = [min(k, len(bank)) for k in settings.neighbors]
    similarity, index = nearest_neighbors(bank, queries, neighbors=max(kept))
    headline: Outcome | None = None
    details: dict[str, Any] = {"neighbors": list(kept)}
    for k in kept:
        votes = np.concatenate(
            [
                knn_votes(
                    similarity[rows, :k],
                    task.train.labels[index[rows, :k]],
                    temperature=settings.temperature,
                    class_count=task.class_count,
                )
                for rows in (slice(start, start + _QUERY_BLOCK) for start in range(0, len(queries), _QUERY_BLOCK))
            ]
        )
        outcome = classification_outcome(votes, task.test.labels, **details)
        if headline is None:
            headline = outcome
        headline.scores.update(
            {f"{name}_k{k}": outcome.scores[name] for name in ("top1", "top5") if name in outcome.scores}
        )
    return headline
