"""Writes measurements, pictures and the recipe for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from barlowtf.train.callbacks.recorder import Recorder, Writer

# Group of tags -> names of the measurements in it; what is in none is a term of the loss.
_GROUPS = {
    "rate": ("learning_rate", "bias_learning_rate"),
    "speed": ("images_per_second", "input_wait", "epoch"),
    "quality": ("knn_top1", "probe_top1", "rankme", "lidar", "alpha"),
    "health": (
        "effective_rank",
        "dead_dimensions",
        "mean_diagonal",
        "mean_off_diagonal",
        "gradient_norm",
        "weight_norm",
        "first_nonfinite",
    ),
}
# What explains another measurement is no curve.
_WITHOUT_CURVE = ("knn_images", "knn_halved")
_GROUP_OF = {name: group for group, names in _GROUPS.items() for name in names}


class TensorBoardWriter(Writer):
    """Writes scalars in groups, "loss/redundancy", pictures, and the recipe as a text and as hyperparameters."""

    def __init__(
        self, folder: Path, recorder: Recorder, *, recipe: str = "", settings: Mapping[str, Any] | None = None
    ) -> None:
        """Sets the folder of event files, and what is written.

        Args:
            folder: Folder of event files.
            recorder: Holds the measurements.
            recipe: The recipe as TOML, shown as it is; "": none.
            settings: Its settings by dotted name, for the table of runs by hyperparameters; None: no table.
        """
        super().__init__(recorder)
        self.folder, self._recipe, self._settings = folder, recipe, settings
        self._writer: tf.summary.SummaryWriter | None = None

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Opens the event file, and writes the recipe and what was measured before the first step."""
        self._writer = tf.summary.create_file_writer(str(self.folder))
        with self._writer.as_default(step=int(logs["step"])):
            if self._recipe:
                # Indented by four blanks, Markdown shows it as code.
                tf.summary.text("recipe", "\n".join(f"    {line}" for line in self._recipe.splitlines()))
            if self._settings is not None:
                hparams.hparams({name: _plain(value) for name, value in self._settings.items()})
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes what was measured after an epoch, and puts the epoch on the disk."""
        super().on_epoch_end(epoch, logs)
        if self._writer is not None:
            self._writer.flush()

    def write(self, step: int) -> None:
        """Writes one summary per scalar and picture."""
        if self._writer is None:
            raise ValueError("TensorBoardWriter writes only between on_train_begin and close.")
        with self._writer.as_default(step=step):
            for name, value in self.recorder.scalars.items():
                if name not in _WITHOUT_CURVE:
                    tf.summary.scalar(f"{_GROUP_OF.get(name, 'loss')}/{name}", value)
            for name, picture in self.recorder.pictures.items():
                tf.summary.image(name, picture[None])

    def close(self) -> None:
        """Closes the event file, also after an error."""
        if self._writer is not None:
            self._writer.close()


def _plain(value: Any) -> bool | int | float | str:
    """Returns a setting as TensorBoard takes it."""
    return value if isinstance(value, bool | int | float | str) else str(value)
