"""What a run notes in run.json beside its course."""

import logging
from contextlib import suppress

from barlowtf import data, runs
from barlowtf.errors import BarlowTFError
from barlowtf.records import RunInfo, write_record

_LOG = logging.getLogger("barlowtf")


def keep_failure(run: runs.RunFolder, info: RunInfo, error: BarlowTFError) -> None:
    """Notes in run.json what ends the run, for `barlowtf doctor`."""
    failures = (*info.failures, " ".join(str(error).split()))
    # A full disk may be the very error.
    with suppress(OSError):
        write_record(run.info, info.model_copy(update={"status": "interrupted", "failures": failures}))


def sameness_of(source: data.Source, before: RunInfo | None) -> str | None:
    """Returns why nothing can be learned from the images, and logs it; what run.json said before is not looked up."""
    sameness = data.find_sameness(source) if before is None else before.data.sameness
    if sameness is not None:
        _LOG.warning("%s Nothing can be learned from them.", sameness)
    return sameness
