"""Measures without labels: collapse of the embeddings, quality of the features, pictures of C and of the views."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from barlowtf.metrics import (
    alpha_req,
    correlation_picture,
    dead_dimensions,
    effective_rank,
    has_collapsed,
    lidar,
    mean_off_diagonal,
)
from barlowtf.models.features import extract_features
from barlowtf.train.callbacks.measurable import are_measurable
from barlowtf.train.callbacks.recorder import Monitor, Recorder

_LOG = logging.getLogger("barlowtf")
# Enough for a picture on a screen, and for a grid that shows what the augmentations do.
_PICTURE_CELLS = 256
_GRID_COLUMNS = 8


class CollapseMonitor(Monitor):
    """Measures features and embeddings of fixed views of the same images, in inference mode, and shows some once.

    Of the features of all views: "rankme", "lidar" and "alpha". Of the embeddings of the first two views of each image:
    "effective_rank", "dead_dimensions", "mean_off_diagonal" and the picture of C.
    """

    def __init__(
        self,
        recorder: Recorder,
        views: Iterable[np.ndarray],
        *,
        shown: Mapping[str, Iterable[np.ndarray]],
        every_epochs: int,
        total_epochs: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        """Sets the images and the interval.

        Args:
            recorder: Receives the measurements.
            views: Normalized images in parts, float32 [q, m, H, W, C] each: q views of m images, q >= 2. Iterable anew
                at each measurement, with the same views.
            shown: Name of a picture -> its rows, normalized images [m, H, W, C] each, of which the first 8 are shown.
            every_epochs: Measure after every N-th epoch; also before the first step and after the last.
            total_epochs: Epochs of the run.
            mean: Means of the normalization, to show the views as they looked before it.
            std: Standard deviations of the normalization.
        """
        super().__init__(recorder)
        self.views, self.shown = views, shown
        self.every_epochs, self.total_epochs = every_epochs, total_epochs
        self.mean, self.std = mean, std
        self._is_trained = self._collapsed = False

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Measures and shows the views, unless the run resumes."""
        if int(logs["step"]) == 0:
            for name, rows in self.shown.items():
                cut = [views[:_GRID_COLUMNS] for views in rows]
                self.recorder.add_picture(name, view_grid(cut, mean=self.mean, std=self.std))
            self._measure()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures after the epochs that are due; not where the run is stopping: it measures when it is resumed."""
        due = (epoch + 1) % self.every_epochs == 0 or epoch + 1 == self.total_epochs
        if due and not self.model.stop_training:
            self._is_trained = True
            self._measure()

    def _measure(self) -> None:
        features = np.concatenate([self._represent(part) for part in self.views], axis=1)  # [q, M, d]
        z_a, z_b = (self._project(of_view) for of_view in features[:2])
        if not are_measurable(features, z_a, z_b, measures="rank, collapse and picture of C"):
            return
        rank, dead = float(effective_rank(z_a)), int(dead_dimensions(z_a))
        self.recorder.add({"effective_rank": rank, "dead_dimensions": dead})
        self.recorder.add({"mean_off_diagonal": float(mean_off_diagonal(z_a, z_b))})
        self._tell_collapse(rank, dead, z_a)
        picture = np.asarray(correlation_picture(z_a, z_b, _PICTURE_CELLS))[..., None]
        self.recorder.add_picture("cross_correlation", picture)
        self.recorder.add(label_free_measures(features))

    def _tell_collapse(self, rank: float, dead: int, z: np.ndarray) -> None:
        """Logs that the embeddings [M, D] have collapsed, once until they have recovered."""
        images, width = z.shape
        collapsed = self._is_trained and has_collapsed(rank, dead, width=width, images=images)
        if collapsed and not self._collapsed:
            _LOG.warning(
                "The embeddings have collapsed: effective rank %.1f, %d of %d dimensions constant. Look at the images "
                "(barlowtf data check) and at augment.mean and augment.std; else lower optimizer.learning_rate.",
                rank,
                dead,
                width,
            )
        self._collapsed = collapsed

    def _represent(self, views: np.ndarray) -> np.ndarray:
        """Returns features [q, m, d] of views [q, m, H, W, C]."""
        features = extract_features(self.model.encoder, views)
        return features.reshape(*views.shape[:2], -1)

    def _project(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(tf.cast(self.model.projector(features, training=False), tf.float32))


def label_free_measures(features: np.ndarray) -> dict[str, float]:
    """Returns "rankme", "lidar" and "alpha" of features [q, M, d]; without those that have no value."""
    rows = features.transpose(1, 0, 2).reshape(-1, features.shape[-1])  # [q, M, d] -> [M q, d]
    measures = {"rankme": effective_rank(rows), "lidar": _lidar(rows, len(features)), "alpha": alpha_req(rows)}
    return {name: value for name, value in measures.items() if not math.isnan(value)}


def _lidar(rows: np.ndarray, views: int) -> float:
    """Returns LiDAR, NaN where the rows are so large that their scatter loses its diagonal to rounding."""
    try:
        return lidar(rows, views)
    except np.linalg.LinAlgError:
        return math.nan


def view_grid(rows: Sequence[np.ndarray], *, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Returns one picture, uint8 [R H, M W, 1 or 3], of R rows of M normalized images each, one below the other.

    Images of another number of channels are shown by their first one.
    """
    strips = [np.concatenate(list(views * np.asarray(std) + np.asarray(mean)), axis=1) for views in rows]
    picture = np.concatenate(strips, axis=0)
    picture = picture if picture.shape[-1] in (1, 3) else picture[..., :1]
    # Views that are not finite are shown, too: black.
    return np.round(255.0 * np.clip(np.nan_to_num(picture), 0.0, 1.0)).astype(np.uint8)
