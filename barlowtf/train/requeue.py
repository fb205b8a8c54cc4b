"""Puts an interrupted job back into SLURM's queue."""

import logging
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from barlowtf.errors import Interrupted
from barlowtf.leaving import undone_by

_LOG = logging.getLogger("barlowtf")


@contextmanager
def requeueing(*, chief: bool) -> Iterator[None]:
    """Has the chief requeue the job where SIGUSR1 interrupts what runs inside; the interruption goes on.

    Args:
        chief: Whether this process is the chief; the other workers leave the job to it.
    """

    def undo(number: int) -> None:
        if number == signal.SIGUSR1 and chief:
            requeue()

    with undone_by(undo):
        try:
            yield
        except Interrupted as interrupted:
            undo(interrupted.signal_number)
            raise


def requeue(environment: Mapping[str, str] = os.environ) -> bool:
    """Requests that SLURM run this job again; returns whether it will.

    Args:
        environment: Holds SLURM_JOB_ID inside a job.
    """
    job = environment.get("SLURM_JOB_ID")
    if job is None:
        _LOG.warning("SIGUSR1 outside a SLURM job: not requeued.")
        return False
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        _LOG.warning("SLURM cannot requeue job %s: %s. Submit it again to resume.", job, str(reason).strip())
        return False
    _LOG.info("SLURM job %s is in the queue again and will resume.", job)
    return True
