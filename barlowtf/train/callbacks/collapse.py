"""Watches for collapse: effective rank, dead dimensions, redundancy, and pictures of C and of the views."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from barlowtf.metrics import (
    correlation_picture,
    dead_dimensions,
    effective_rank,
    mean_off_diagonal,
)
from barlowtf.models.features import extract_features
from barlowtf.train.callbacks.recorder import Monitor, Recorder

# Enough for a picture on a screen, and for a grid that shows what the augmentations do.
_PICTURE_CELLS = 256
_GRID_COLUMNS = 8
_CHUNK = 64


class CollapseMonitor(Monitor):
    """Measures the embeddings of one fixed batch of views, in inference mode, and shows its views once."""

    def __init__(
        self,
        recorder: Recorder,
        view_a: np.ndarray,
        view_b: np.ndarray,
        *,
        local_views: np.ndarray | None = None,
        every_epochs: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        """Sets the batch and the interval.

        Args:
            recorder: Receives the measurements.
            view_a: Normalized images, float32 [M, H, W, C].
            view_b: The other views of the same images.
            local_views: Local views of the same images, [K, M, h, w, C], which are shown and not measured.
            every_epochs: Measure after every N-th epoch; also before the first step.
            mean: Means of the normalization, to show the views as they looked before it.
            std: Standard deviations of the normalization.
        """
        super().__init__(recorder)
        self.view_a, self.view_b, self.every_epochs = view_a, view_b, every_epochs
        self.local_views = local_views
        self.mean, self.std = mean, std

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Measures and shows the views, unless the run resumes."""
        if int(logs["step"]) == 0:
            self._show("view_pairs", [self.view_a, self.view_b])
            if self.local_views is not None:
                self._show("local_views", self.local_views)
            self._measure()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures after the epochs that are due; not where the run is stopping: it measures when it is resumed."""
        if (epoch + 1) % self.every_epochs == 0 and not self.model.stop_training:
            self._measure()

    def _show(self, name: str, rows: Iterable[np.ndarray]) -> None:
        shown = [views[:_GRID_COLUMNS] for views in rows]
        self.recorder.add_picture(name, view_grid(shown, mean=self.mean, std=self.std))

    def _measure(self) -> None:
        z_a, z_b = self._embed(self.view_a), self._embed(self.view_b)
        self.recorder.add(
            {
                "effective_rank": float(effective_rank(z_a)),
                "dead_dimensions": int(dead_dimensions(z_a)),
                "mean_off_diagonal": float(mean_off_diagonal(z_a, z_b)),
            }
        )
        picture = np.asarray(correlation_picture(z_a, z_b, _PICTURE_CELLS))[..., None]
        self.recorder.add_picture("cross_correlation", picture)

    def _embed(self, images: np.ndarray) -> np.ndarray:
        features = extract_features(self.model.encoder, _chunks(images))
        return np.asarray(tf.cast(self.model.projector(features, training=False), tf.float32))


def view_grid(rows: Sequence[np.ndarray], *, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Returns one picture, uint8 [R H, M W, 1 or 3], of R rows of M normalized images each, one below the other.

    Images of another number of channels are shown by their first one.
    """
    strips = [np.concatenate(list(views * np.asarray(std) + np.asarray(mean)), axis=1) for views in rows]
    picture = np.concatenate(strips, axis=0)
    picture = picture if picture.shape[-1] in (1, 3) else picture[..., :1]
    return np.round(255.0 * np.clip(picture, 0.0, 1.0)).astype(np.uint8)


def _chunks(images: np.ndarray) -> list[np.ndarray]:
    return [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
