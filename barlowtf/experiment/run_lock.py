"""Waits for a run whose starter was killed: it saves, and then its folder is free."""

import logging
import time
from pathlib import Path

from barlowtf import runs
from barlowtf.errors import CheckpointError

_LOG = logging.getLogger("barlowtf")
_PATIENCE_SECONDS = 60.0


def wait_until_free(folder: Path) -> None:
    """Returns when no process uses a run folder, or where there is no such folder.

    Raises:
        CheckpointError: Another process still uses it after a minute.
    """
    deadline, told = time.monotonic() + _PATIENCE_SECONDS, False
    while folder.exists():
        try:
            with runs.locked(folder):
                return
        except CheckpointError:
            if time.monotonic() > deadline:
                raise
            if not told:
                _LOG.info("Waiting for the run in %s, which a call before this one has started, to save.", folder)
            told = True
            time.sleep(0.5)
