"""One measurement: an encoder, a protocol, a seed; each protocol is one function."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console

from barlowtf import data, runs
from barlowtf.config.protocols import Logistic, Neighbors, Probe, SupportVectors
from barlowtf.data import Labeled
from barlowtf.evaluation import ClassResult, Outcome, classification_outcome, evaluate_voc_svm, fit_logistic
from barlowtf.experiment.encoders import OpenedEncoder
from barlowtf.experiment.multi_label import MultiLabelSplits
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

    def features(self, examples: Labeled) -> np.ndarray:
        """Returns features, float32 [M, d]; kept for the next who asks for the same images."""
        digest = hashlib.sha256(examples.source.fingerprint.encode())
        digest.update(examples.ids.tobytes())
        key = digest.hexdigest()
        if key not in self._features:
            self._features[key] = self.encoder.features(self.views(examples), examples.size)
        return self._features[key]


@dataclass(frozen=True)
class Task:
    """What is measured, on what, and where its files go.

    Attributes:
        views: Of the encoder.
        train: Images whose labels may be used.
        test: All test images.
        class_count: K.
        seed: Of head, order and crops.
        result: Folder for the head.
        work: Folder for what an interrupted measurement needs to go on.
        strategy: Runs the training.
        interruption: Listens to signals.
        console: For the progress bar.
    """

    views: Views
    train: Labeled
    test: Labeled
    class_count: int
    seed: int
    result: Path
    work: Path
    strategy: tf.distribute.Strategy
    interruption: Interruption
    console: Console


def measure_probe(task: Task, settings: Probe) -> Outcome | None:
    """Returns the outcome of a trained head; None where a signal came first."""
    frozen = settings.encoder_learning_rate == 0
    probing = Probing(
        encoder=task.views.encoder,
        train=task.train,
        test_views=task.views.views(task.test),
        # The features of a frozen encoder stay the same: every epoch's test is one product of matrices.
        test_features=task.views.features(task.test) if frozen else None,
        test_labels=task.test.labels,
        class_count=task.class_count,
        settings=settings,
        seed=task.seed,
        work=task.work,
        result=task.result,
    )
    probed = train_probe(probing, strategy=task.strategy, interruption=task.interruption, console=task.console)
    if probed is None:
        return None
    outcome = classification_outcome(probed.logits, task.test.labels, epoch=probed.epoch)
    if settings.report == "best":
        outcome.scores["top1_last_epoch"] = float(np.mean(probed.last_logits.argmax(axis=1) == task.test.labels))
    return outcome


def measure_logistic(task: Task, settings: Logistic) -> Outcome:
    """Returns the outcome of a logistic regression, and leaves its head."""
    train, test = (task.views.features(split) for split in (task.train, task.test))
    kernel, bias, penalty = fit_logistic(train, task.train.labels, task.class_count, settings, seed=task.seed)
    head = make_head(train.shape[1], task.class_count)
    head.set_weights([kernel, bias])
    task.result.mkdir(parents=True, exist_ok=True)
    save_encoder(head, task.result / "head.keras")
    return classification_outcome(test @ kernel + bias, task.test.labels, penalty=penalty)


def measure_neighbors(task: Task, settings: Neighbors) -> Outcome:
    """Returns the outcome of the vote of the nearest neighbors, for each k; the first k is the headline."""
    bank, queries = (task.views.features(split) for split in (task.train, task.test))
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


def measure_voc(
    views: Views,
    splits: MultiLabelSplits,
    settings: SupportVectors,
    seed: int,
    work: Path,
) -> Outcome:
    """Returns the outcome of one linear machine a class on images of several labels; goes on after the last class."""
    features = [views.features(_unlabeled(split.source)) for split in (splits.train, splits.test)]
    work.mkdir(parents=True, exist_ok=True)
    file = work / "classes.jsonl"
    done = {line.pop("class"): ClassResult(**line) for line in runs.read_json_lines(file)}
    result = evaluate_voc_svm(
        features[0],
        splits.train.targets,
        features[1],
        splits.test.targets,
        costs=settings.costs,
        folds=settings.folds,
        seed=seed,
        done=done,
        on_class=lambda index, result: runs.append_json_line(file, {"class": index, **asdict(result)}),
    )
    scores = {
        "mean_average_precision": float(result.average_precision.mean()),
        "mean_average_precision_11_points": float(result.voc07_average_precision.mean()),
        "mean_average_precision_interpolated": float(result.interpolated_average_precision.mean()),
    }
    details = {"costs": result.cost.tolist(), "unconverged": result.unconverged.tolist()}
    return Outcome(scores, result.average_precision.tolist(), None, details)


def _unlabeled(source: data.Source) -> Labeled:
    """Returns all examples of a source without a class of their own."""
    return Labeled(source, np.arange(source.size, dtype=np.int64), np.full(source.size, -1, np.int64))
