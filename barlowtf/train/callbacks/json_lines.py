"""Writes measurements as JSON lines."""

from pathlib import Path

from barlowtf.records import append_line
from barlowtf.train.callbacks.recorder import Recorder, Writer


class JsonLines(Writer):
    """Appends the scalars of each measured step or epoch to a file."""

    def __init__(self, path: Path, recorder: Recorder) -> None:
        """Sets the file, one JSON object per line, and what is written."""
        super().__init__(recorder)
        self.path = path

    def write(self, step: int) -> None:
        """Appends one line."""
        append_line(self.path, {"step": step, **self.recorder.scalars})
