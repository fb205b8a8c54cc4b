"""The rows of `barlowtf predict`: from the features of new images to columns, a piece at a time.

Letters: n images of a piece, d the width of their features, K classes, k neighbors.
"""

import collections
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from barlowtf import data
from barlowtf.encoders.feature_folder import FeatureFolder
from barlowtf.errors import DataError
from barlowtf.experiment.bank import Bank
from barlowtf.experiment.embed import storable_text
from barlowtf.export.heads import Head
from barlowtf.metrics import knn_votes, kth_distances, nearest_neighbors, novelty, own_distances
from barlowtf.records import BankFacts

# An image with a higher novelty counts as unlike the training images.
UNLIKE = 0.99
# Novelty is about the distance to the 10th neighbor: one or two chance neighbors do not decide, nor a rare class.
_NOVELTY_NEIGHBORS, _NOVELTY_IMAGES = 10, 5000
# As the headline of protocol knn.
_VOTERS = 20
_EXAMPLES = 5


@dataclass(frozen=True)
class Neighborhood:
    """Finds similar training images.

    Attributes:
        bank: The training images.
        shown: Number of similar images that a row names.
        found: Number of similar images to look for, k.
        novelty_neighbors: The neighbor that the novelty is about, from 1.
        own: Distances of training images to that neighbor of theirs, rising, see `own_distances`.
    """

    bank: Bank
    shown: int
    found: int
    novelty_neighbors: int
    own: np.ndarray

    @property
    def facts(self) -> BankFacts:
        """What the record keeps of it."""
        folder = self.bank.folder
        return BankFacts(
            folder=str(folder.path),
            data=folder.manifest.data,
            rows=folder.rows,
            novelty_neighbors=self.novelty_neighbors,
            novelty_images=len(self.own),
            median_distance=round(float(np.median(self.own)), 6),
        )


def make_neighborhood(bank: Bank, shown: int, seed: int = 0) -> Neighborhood:
    """Returns what finds `shown` similar images, or as many as there are; measures the bank's own distances.

    Args:
        bank: The training images.
        shown: Number of similar images that a row names, >= 1.
        seed: Of the draw of images whose distances are measured, where there are many.

    Raises:
        DataError: There is only one training image.
    """
    rows = bank.folder.rows
    if rows < 2:
        raise DataError(f"{bank.folder.path} holds one image. Expected at least two to compare others with.")
    nearest = min(_NOVELTY_NEIGHBORS, rows - 1)
    drawn = data.sample_ids(rows, _NOVELTY_IMAGES, seed=seed)
    found = min(rows, max(shown, _VOTERS))
    own = own_distances(bank.folder.features, drawn, neighbors=nearest)
    return Neighborhood(bank, min(shown, rows), found, nearest, own)


@dataclass(frozen=True)
class Labeler:
    """Gives each image probabilities of classes.

    Attributes:
        kind: What they come from.
        names: Name of each class, [K].
        probabilities: From features float32 [n, d], and similarities and rows of their neighbors [n, k], to [n, K].
        voters: Number of neighbors that vote; None: a head does not ask them.
    """

    kind: Literal["head", "neighbors"]
    names: tuple[str, ...]
    probabilities: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    voters: int | None


def head_labeler(head: Head) -> Labeler:
    """Returns what takes the classes of a head, by the softmax of its logits."""

    def probabilities(features: np.ndarray, similarity: np.ndarray, index: np.ndarray) -> np.ndarray:
        logits = np.asarray(head.model(features, training=False), np.float32)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    return Labeler("head", head.class_names, probabilities, None)


def vote_labeler(bank: Bank) -> Labeler | None:
    """Returns what takes the classes of the nearest training images, weighted as protocol knn does; None: no classes.

    The probability of a class is its share of the votes.
    """
    if bank.classes is None:
        return None
    labels, names = bank.classes
    voters = min(_VOTERS, bank.folder.rows)
    # An image without a label votes for nothing: for a class behind the last one, which is left out.
    labels = np.where(labels < 0, len(names), labels)

    def probabilities(features: np.ndarray, similarity: np.ndarray, index: np.ndarray) -> np.ndarray:
        votes = knn_votes(similarity[:, :voters], labels[index[:, :voters]], class_count=len(names) + 1)[:, :-1]
        return votes / np.maximum(votes.sum(axis=1, keepdims=True), 1e-12)

    return Labeler("neighbors", names, probabilities, voters)


class PredictedRows:
    """The rows of all images, a piece at a time, and what is counted on the way."""

    def __init__(
        self,
        images: data.Source,
        features: FeatureFolder,
        labeler: Labeler | None,
        near: Neighborhood | None,
        *,
        top: int,
        channels: int,
        rendering: data.Rendering,
        skipped: data.SkippedImages,
    ) -> None:
        """Computes nothing yet.

        Args:
            images: The new images.
            features: Those of them that can be read.
            labeler: Gives labels; None: no columns of labels.
            near: Finds similar training images; None: no columns of these.
            top: Number of labels in a row, from 1 to K.
            channels: Of the encoder's images, to find out why an image cannot be read.
            rendering: How they are decoded.
            skipped: Knows why images cannot be read, or is told.
        """
        self._images, self._features, self._labeler, self._near = images, features, labeler, near
        self._top, self._channels, self._rendering, self._skipped = top, channels, rendering, skipped
        self._labels: collections.Counter[str] = collections.Counter()
        self._probability, self._unlike = 0.0, 0
        self._unreadable: dict[str, str] = {}
        self.schema = pa.schema([("id", pa.int64()), ("path", pa.string()), *self._answers(), ("error", pa.string())])

    def tables(self, size: int) -> Iterator[pa.Table]:
        """Yields the rows of `size` images at a time, in the order of the data."""
        for start in range(0, self._images.size, size):
            yield self._table(np.arange(start, min(start + size, self._images.size)))

    def summary(self) -> dict[str, Any]:
        """Returns what the record says about the rows so far."""
        labeled = self._labels.total()
        return {
            "rows": self._images.size,
            "unreadable": len(self._unreadable),
            "unreadable_examples": dict(list(self._unreadable.items())[:_EXAMPLES]),
            "labels": None if self._labeler is None else dict(self._labels.most_common()),
            "mean_probability": None if self._labeler is None else round(self._probability / max(labeled, 1), 6),
            "unlike": None if self._near is None else self._unlike,
        }

    def _answers(self) -> list[tuple[str, pa.DataType]]:
        """Returns the columns between the path and the error, with their types."""
        fields: list[tuple[str, pa.DataType]] = []
        if self._labeler is not None:
            for place in range(self._top):
                suffix = f"_{place + 1}" if place else ""
                fields += [(f"label{suffix}", pa.string()), (f"probability{suffix}", pa.float32())]
        if self._near is not None:
            fields.append(("novelty", pa.float32()))
            for place in range(1, self._near.shown + 1):
                fields.append((f"neighbor_{place}", pa.string()))
                if self._near.bank.folder.labels is not None:
                    fields.append((f"neighbor_{place}_label", pa.string()))
                fields.append((f"neighbor_{place}_distance", pa.float32()))
        return fields

    def _table(self, ids: np.ndarray) -> pa.Table:
        first, last = np.searchsorted(self._features.ids, [ids[0], ids[-1] + 1])
        readable = np.isin(ids, self._features.ids[first:last])
        paths = [storable_text(self._images.identify(int(number))) for number in ids]
        errors: list[str | None] = [None] * len(ids)
        for place in np.flatnonzero(~readable).tolist():
            errors[place] = self._unreadable[paths[place]] = self._reason(int(ids[place]))
        columns: dict[str, Any] = {"id": ids, "path": paths, "error": errors}
        answers = self._answer(np.asarray(self._features.features[first:last])) if last > first else {}
        for name, _ in self._answers():
            whole = np.full(len(ids), None, object)
            whole[readable] = answers.get(name, [])
            columns[name] = whole
        return pa.table([pa.array(columns[field.name], field.type) for field in self.schema], schema=self.schema)

    def _reason(self, number: int) -> str:
        """Returns why an image has no features."""
        known = self._skipped.reasons(self._images).get(number)
        if known is None:
            known = self._why(number)
            self._skipped.skip(self._images, number, known, "Its row says so.")
        return known

    def _why(self, number: int) -> str:
        reason = data.unreadable_reason(self._images, number, self._channels, self._rendering)
        return reason or "it could not be read"

    def _answer(self, features: np.ndarray) -> dict[str, list[Any]]:
        """Returns the columns of images, from their features [n, d]."""
        similarity, index = np.zeros((len(features), 0), np.float32), np.zeros((len(features), 0), np.int64)
        answers: dict[str, list[Any]] = {}
        if self._near is not None:
            near = self._near
            similarity, index = nearest_neighbors(near.bank.folder.features, features, neighbors=near.found)
            answers |= _neighbor_columns(near, similarity, index)
            distances = kth_distances(near.bank.folder.features, features, neighbors=near.novelty_neighbors)
            answers["novelty"] = novelty(distances, near.own).tolist()
            self._unlike += int(np.sum(np.asarray(answers["novelty"]) > UNLIKE))
        if self._labeler is not None:
            names, probabilities = self._labeler.names, self._labeler.probabilities(features, similarity, index)
            order = np.argsort(-probabilities, axis=1, kind="stable")[:, : self._top]
            for place in range(self._top):
                suffix, chosen = f"_{place + 1}" if place else "", order[:, place]
                answers[f"label{suffix}"] = [names[label] for label in chosen]
                answers[f"probability{suffix}"] = probabilities[np.arange(len(chosen)), chosen].tolist()
            self._labels.update(answers["label"])
            self._probability += sum(answers["probability"])
        return answers


def _neighbor_columns(near: Neighborhood, similarity: np.ndarray, index: np.ndarray) -> dict[str, list[Any]]:
    # Rounding may leave a similarity just above 1.
    distance = np.maximum(1.0 - similarity, 0.0)
    answers: dict[str, list[Any]] = {}
    for place in range(near.shown):
        rows, name = index[:, place].tolist(), f"neighbor_{place + 1}"
        answers[name] = [near.bank.path(row) for row in rows]
        answers[f"{name}_label"] = [near.bank.folder.label_name(row) for row in rows]
        answers[f"{name}_distance"] = distance[:, place].tolist()
    return answers
