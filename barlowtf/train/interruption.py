"""Signals: a run finishes its step, saves, and ends with the exit status of the signal."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from barlowtf.errors import Interrupted
from barlowtf.leaving import after_signals

_LOG = logging.getLogger("barlowtf")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Interruption:
    """Handles SIGINT, SIGTERM, SIGHUP and SIGUSR1 inside `listening`.

    Outside `finishing_steps` a signal raises Interrupted at once, or goes to the handler that the program had installed
    for it: the command line's ends the process. Inside it the first signal is only noted, so that the loop can stop
    after its step; a second one is handled as outside. A SIGHUP that was ignored before, as under nohup, stays ignored.

    Attributes:
        received: The first signal that came; None: no signal yet.
    """

    def __init__(self) -> None:
        """Handles no signal yet."""
        self.received: signal.Signals | None = None
        self._finishing = False
        self._before: dict[signal.Signals, Any] = {}

    @contextmanager
    def listening(self) -> Iterator["Interruption"]:
        """Handles the signals, and restores the handlers before. Outside the main thread it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        hung_up_is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        caught = [number for number in SIGNALS if number != signal.SIGHUP or not hung_up_is_ignored]
        self._before = {number: signal.signal(number, self._receive) for number in caught}
        try:
            yield self
        finally:
            for number, handler in self._before.items():
                # None: a handler that Python did not set, TensorFlow's for example; it cannot be restored.
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    @contextmanager
    def finishing_steps(self) -> Iterator[None]:
        """Notes a signal instead of raising."""
        self._finishing = True
        try:
            with after_signals(2):
                yield
        finally:
            self._finishing = False

    def requested(self) -> bool:
        """Returns whether a signal came."""
        return self.received is not None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again = self.received is not None
        self.received = self.received or signal.Signals(number)
        if again or not self._finishing:
            before = self._before[signal.Signals(number)]
            if callable(before) and before is not signal.default_int_handler:
                before(number, frame)
            raise Interrupted(f"Stopped at once by {signal.Signals(number).name}.", number)
        _LOG.warning("%s: finishing the step and saving. A second signal stops at once.", signal.Signals(number).name)
