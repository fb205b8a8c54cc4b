"""The program: everything that must come before the first slow import, and after the last line of output."""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from barlowtf import leaving

from .signals import end_by_signals
from .streams import STANDARD_OUTPUT, open_streams

_WORKERS = ("TF_CONFIG", "SLURM_PROCID")


def run(begin: Callable[[], None] = lambda: None) -> NoReturn:
    """Runs the command line, and ends the process.

    Args:
        begin: Called as soon as a signal ends the process with its status.
    """
    open_streams()
    end_by_signals()
    begin()
    from .main import main

    status = 0
    try:
        main(prog_name="barlowtf")
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except OSError as error:
        _end_without_output(error)
    try:
        sys.stdout.flush()
    except OSError as error:
        _end_without_output(error)
    # TensorFlow takes its time to end, with nothing left to do. One of several workers must say goodbye to the others.
    if not any(name in os.environ for name in _WORKERS):
        leaving.end(status)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    sys.exit(status)


def _end_without_output(error: OSError) -> NoReturn:
    """Ends the process because standard output takes nothing; a reader that has gone away has read what it wanted."""
    if isinstance(error, BrokenPipeError):
        leaving.end(1)
    if error.filename != STANDARD_OUTPUT:
        raise error
    sys.stderr.write(f"Error: Cannot use {STANDARD_OUTPUT}: {error.strerror}.\n")
    leaving.end(1)


if __name__ == "__main__":
    run()
