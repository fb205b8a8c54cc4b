"""One measurement: an encoder, a protocol, a seed; each protocol is one function."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console

from barlowtf import data
from barlowtf.config.protocols import Logistic, Neighbors, Probe, SupportVectors
from barlowtf.data import Labeled
from barlowtf.encoders.encoder import Encoder
from barlowtf.encoders.extracting import center_views, extract
from barlowtf.evaluation import ClassResult, Outcome, classification_outcome, evaluate_voc_svm, fit_logistic
from barlowtf.experiment.evaluating.multi_label import MultiLabelSplits
from barlowtf.experiment.evaluating.probing import Probing, train_probe
from barlowtf.metrics import knn_votes, nearest_neighbors
from barlowtf.models import make_head
from barlowtf.models.saving import save_model
from barlowtf.records import append_line, read_lines
from barlowtf.train.interruption import Interruption


class Views:
    """Center views and features of an encoder, each computed once; frozen protocols share them."""

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        """Computes nothing yet.

        Args:
            encoder: Makes the features.
            folder: Keeps the features of large data sets while they are computed.
        """
        self.encoder, self._folder = encoder, folder
        self._features: dict[str, np.ndarray] = {}

    def views(self, examples: Labeled) -> tf.data.Dataset:
        """Returns batches of center views, uint8 [n, S, S, C]."""
        return center_views(self.encoder, examples.source, examples.ids)

    def features(self, examples: Labeled) -> np.ndarray:
        """Returns features, float32 [M, d]; kept for the next who asks for the same images."""
        # The name too: two splits of files of the same names and sizes have one fingerprint.
        facts = [examples.source.name, examples.source.fingerprint, json.dumps(self.encoder.identity)]
        digest = hashlib.sha256("\n".join(facts).encode("utf-8", "replace"))
        digest.update(examples.ids.tobytes())
        key = digest.hexdigest()
        if key not in self._features:
            self._features[key] = extract(self.encoder, examples, self._folder / key[:16])
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
    save_model(head, task.result / "head.keras")
    return classification_outcome(test @ kernel + bias, task.test.labels, penalty=penalty)


def measure_neighbors(task: Task, settings: Neighbors) -> Outcome:
    """Returns the outcome of the vote of the nearest neighbors, for each k; the first k is the headline."""
    bank, queries = (task.views.features(split) for split in (task.train, task.test))
    kept = [min(k, len(bank)) for k in settings.neighbors]
    similarity, index = nearest_neighbors(bank, queries, neighbors=max(kept))
    headline: Outcome | None = None
    details: dict[str, Any] = {"neighbors": list(kept)}
    for k in kept:
        votes = knn_votes(
            similarity[:, :k],
            task.train.labels[index[:, :k]],
            temperature=settings.temperature,
            class_count=task.class_count,
        )
        outcome = classification_outcome(votes, task.test.labels, **details)
        # Those of ImageNet are 400 MB, and the next ones as many.
        del votes
        headline = headline or outcome
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
    done = {line.pop("class"): ClassResult(**line) for line in read_lines(file)}
    result = evaluate_voc_svm(
        features[0],
        splits.train.targets,
        features[1],
        splits.test.targets,
        costs=settings.costs,
        folds=settings.folds,
        seed=seed,
        done=done,
        on_class=lambda index, result: append_line(file, {"class": index, **asdict(result)}),
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
