"""Keeps the state after the epoch whose measure is the best so far."""

import shutil
from pathlib import Path
from typing import Any

import keras

from barlowtf.models.checkpoint import list_checkpoints, step_of
from barlowtf.records import read_metrics
from barlowtf.train.best import Criterion, find_best
from barlowtf.train.callbacks.checkpoint import SaveCheckpoints
from barlowtf.train.callbacks.recorder import Recorder


class KeepBest(keras.callbacks.Callback):
    """Saves the best epoch in a folder of its own. Put it after the writers and before the `SaveCheckpoints` it uses.

    What was the best so far is read from metrics.jsonl, so a resumed run keeps what the unbroken one keeps.
    """

    def __init__(
        self, folder: Path, recorder: Recorder, save: SaveCheckpoints, *, criterion: Criterion, metrics: Path
    ) -> None:
        """Sets the folder and the measure.

        Args:
            folder: Holds the one checkpoint that is kept.
            recorder: Holds the measurement of an epoch.
            save: Writes it.
            criterion: What makes an epoch the best.
            metrics: The metrics.jsonl of the run.
        """
        super().__init__()
        self.folder, self.recorder, self.save = folder, recorder, save
        self.criterion, self.metrics = criterion, metrics
        self._best: float | None = None
        self._resumed_at_best = 0

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Finds the best so far; the checkpoint of a step that the resumed run has yet to take is deleted."""
        step = int(logs["step"])
        for path in list_checkpoints(self.folder):
            if step_of(path) > step:
                shutil.rmtree(path)
        kept = {step_of(path) for path in list_checkpoints(self.folder)}
        records = read_metrics(self.metrics)
        best = find_best((record for record in records if record["step"] in kept), self.criterion)
        self._best = None if best is None else self.criterion.score(best.value)
        # The run may have been killed between the measurement of an epoch and its save.
        here = find_best((record for record in records if record["step"] == step), self.criterion)
        self._resumed_at_best = step if here is not None and self._is_best(here.value) else 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any]) -> None:
        """Makes up for a save that is missing from before the run was resumed."""
        self._make_up(int(logs["step"]))

    def on_train_end(self, logs: dict[str, Any]) -> None:
        """Does the same where the run was resumed after its last step."""
        self._make_up(int(logs["step"]))

    def _make_up(self, step: int) -> None:
        if self._resumed_at_best and self._resumed_at_best == step:
            self.save.save_aside(self.folder, step)
        self._resumed_at_best = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Saves the epoch where it was measured and is the best so far."""
        value = self.recorder.scalars.get(self.criterion.key)
        found = (
            None if value is None else find_best([{"step": logs["step"], self.criterion.key: value}], self.criterion)
        )
        if found is not None and self._is_best(found.value):
            self.save.save_aside(self.folder, found.step)

    def _is_best(self, value: float) -> bool:
        score = self.criterion.score(value)
        if self._best is not None and score <= self._best:
            return False
        self._best = score
        return True
