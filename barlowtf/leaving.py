"""How a process ends when a signal stops it at once: what is in the making is undone, and nothing else runs.

An exception raised by a signal's handler would pass through whatever runs at that moment: it is swallowed in the
callback of a weak reference, told as a damaged file by a decoder, and leaves a module half imported. So no exception is
raised. What must not stay behind is registered while it exists.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

Undo = Callable[[int], object]

# Keys keep the order of registration.
_undos: dict[object, Undo] = {}
# How many signals end the process.
_needed = [1.0]


@contextmanager
def undone_by(undo: Undo) -> Iterator[None]:
    """Registers what is called with the signal's number if a signal ends the process at once inside the context.

    Args:
        undo: Called in the main thread, or in another one while the main thread is busy; its errors are dropped.
    """
    key = object()
    _undos[key] = undo
    try:
        yield
    finally:
        del _undos[key]


@contextmanager
def after_signals(count: float) -> Iterator[None]:
    """Says how many signals end the process inside the context: the ones before are handled by whoever runs.

    Args:
        count: 1 outside of every context; infinity: no number of them.
    """
    _needed.append(count)
    try:
        yield
    finally:
        _needed.pop()


def signals_needed() -> float:
    """Returns how many signals end the process now."""
    return _needed[-1]


def exit_status(number: int) -> int:
    """Returns the exit status of a process that a signal stopped: 128 + its number; a hang-up counts as SIGTERM."""
    return 128 + (signal.SIGTERM if number == signal.SIGHUP else number)


def end_at_once(number: int) -> NoReturn:
    """Undoes what is registered, the last first, and ends the process with the status of the signal.

    Args:
        number: The signal.
    """
    for undo in reversed(list(_undos.values())):
        # Nobody is left to be told: the process ends, and what stays is found by the next call.
        with suppress(Exception):
            undo(number)
    line = f"Stopped by {signal.Signals(number).name}. The same command starts again, and goes on from what is kept.\n"
    with suppress(OSError):
        os.write(2, line.encode())
    # Without flushing: a write to a stream may be what was interrupted, and what holds its lock.
    os._exit(exit_status(number))


def end(status: int) -> NoReturn:
    """Ends the process at once, without the end of TensorFlow's and Python's own threads, which may take long.

    Args:
        status: Exit status, 0 to 255.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)
