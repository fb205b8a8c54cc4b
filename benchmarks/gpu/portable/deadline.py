"""The time that a run may take."""

import time


class Deadline:
    """A point in time, so many minutes from now."""

    def __init__(self, minutes: float) -> None:
        """Starts the clock."""
        self._started = time.monotonic()
        self._end = self._started + 60.0 * minutes

    @property
    def left(self) -> float:
        """Seconds until the end, >= 0."""
        return max(0.0, self._end - time.monotonic())

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started
