"""Signals for a process that others depend on: it passes them on, and ends after them."""

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from barlowtf.leaving import after_signals

# SIGHUP too: the workers have sessions of their own, so the end of the terminal does not reach them otherwise.
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


@contextmanager
def signals_as_events(put: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Hands the signals that a process forwards to `put` while the context lasts, instead of ending the process.

    Args:
        put: Called in the main thread between two instructions: a queue's `put`.
    """
    before = {number: signal.getsignal(number) for number in FORWARDED}
    # What was ignored when we started (nohup, a script's background job) stays ignored, here and in the workers.
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, lambda received, _: put(signal.Signals(received)))
    try:
        with after_signals(math.inf):
            yield
    finally:
        for number in caught:
            signal.signal(number, before[number] or signal.SIG_DFL)
