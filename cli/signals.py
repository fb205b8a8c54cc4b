"""Signals that end a command at once, at any moment: during imports, and while native code runs, too."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from barlowtf import leaving

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
# Python's handlers run in the main thread between two instructions. Where native code keeps it longer than this, the
# thread that watches ends the process.
_GRACE_SECONDS = 2.0


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Ends the process at once where a signal comes inside the context.

    Outside the main thread, or where signals do so already, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is _end:
        yield
        return
    restore = end_by_signals()
    try:
        yield
    finally:
        restore()


def end_by_signals() -> Callable[[], None]:
    """Has signals end the process at once from now on; returns what puts the handlers before in their place again."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # nohup, whose purpose it is, stays; SIGINT is ignored in the background jobs of scripts, where kill -INT is meant.
    caught = [number for number in _SIGNALS if number != signal.SIGHUP or before[number] is not signal.SIG_IGN]
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for number in caught:
        signal.signal(number, _end)
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reading,), name="signals", daemon=True)
    watcher.start()

    def restore() -> None:
        signal.set_wakeup_fd(woken)
        for number in caught:
            signal.signal(number, before[number] or signal.SIG_DFL)
        os.close(writing)
        watcher.join()
        os.close(reading)

    return restore


def _end(number: int, _: FrameType | None) -> None:
    leaving.end_at_once(number)


def _watch(reading: int) -> None:
    """Ends the process where the main thread does not get to its handler; until the pipe is closed."""
    received = 0
    while numbers := os.read(reading, 1):
        number = numbers[0]
        if number not in _SIGNALS:
            continue
        received += 1
        if received >= leaving.signals_needed():
            time.sleep(_GRACE_SECONDS)
            if signal.getsignal(number) is not signal.SIG_IGN:
                leaving.end_at_once(number)
