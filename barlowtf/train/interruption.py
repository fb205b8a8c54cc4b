"""Signals: a run finishes its step, saves, and ends with the exit status of the signal."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from barlowtf.errors import Interrupted

_LOG = logging.getLogger("barlowtf")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interruption:
    """Handles SIGINT, SIGTERM and SIGUSR1 inside `listening`.

    Outside `finishing_steps` a signal raises Interrupted at once. Inside it the first signal is only noted, so that the
    loop can stop after its step; a second one raises there too.

    Attributes:
        received: The first signal that came; None: no signal yet.
    """

    def __init__(self) -> None:
        """Handles no signal yet."""
        self.received: signal.Signals | None = None
        self._finishing = False

    @contextmanager
    def listening(self) -> Iterator["Interruption"]:
        """Handles the signals, and restores the handlers before. Outside the main thread it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                # None: a handler that Python did not set, TensorFlow's for example; it cannot be restored.
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    @contextmanager
    def finishing_steps(self) -> Iterator[None]:
        """Notes a signal instead of raising."""
        self._finishing = True
        try:
            yield
        finally:
            self._finishing = False

    def requested(self) -> bool:
        """Returns whether a signal came."""
        return self.received is not None

    def _receive(self, number: int, _: FrameType | None) -> None:
        again = self.received is not None
        self.received = self.received or signal.Signals(number)
        if again or not self._finishing:
            raise Interrupted(f"Stopped at once by {signal.Signals(number).name}.", number)
        _LOG.warning("%s: finishing the step and saving. A second signal stops at once.", signal.Signals(number).name)
