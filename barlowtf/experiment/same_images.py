"""Whether a run goes on on the images that it began with."""

import logging
from collections.abc import Sequence
from typing import Literal, TypeAlias

from barlowtf import data, runs
from barlowtf.errors import CheckpointError
from barlowtf.records import RunData, RunInfo

_LOG = logging.getLogger("barlowtf")
CheckData: TypeAlias = Literal["sample", "full", "off"]
_SHOWN = 8


def describe_images(
    spec: str, source: data.Source, check: CheckData, labeled: Sequence[data.Source | None] = ()
) -> RunData:
    """Returns what run.json says of the training images and of those that monitors measure on.

    Args:
        spec: As it was given.
        source: The training images.
        check: "full": all their bytes are read.
        labeled: The images with labels, training and test.
    """
    content = None
    if check == "full":
        _LOG.info("Reading all %d images of %s to record and compare their bytes.", source.size, source.name)
        content = data.whole_content(source)
    measured = tuple(part.fingerprint for part in labeled if part is not None)
    return RunData(source=spec, images=source.size, fingerprint=source.fingerprint, content=content, measured=measured)


def require_same_images(run: runs.RunFolder, now: RunData, check: CheckData) -> RunData:
    """Returns what run.json is to say of the images, those of the finished steps compared with what is there now.

    Args:
        run: The run folder. Before the first checkpoint any images will do.
        now: The images as they are, see `describe_images`.
        check: "off": as many other images are accepted, and recorded.

    Raises:
        CheckpointError: The images are others.
    """
    info = run.read_info()
    if info is None or not run.has_saved:
        return now
    before = info.data
    if before.measured != now.measured:
        _LOG.warning(
            "%s is measured on other labeled images than it began with: its accuracies before and from here on cannot "
            "be compared.",
            run.path,
        )
    earlier = {"accepted": before.accepted}
    if _equal(before, now):
        return now.model_copy(update={**earlier, "content": now.content or before.content})
    if check == "off" and before.images == now.images:
        _LOG.warning("%s goes on on other images than it began with; run.json keeps both fingerprints.", run.path)
        return now.model_copy(update={"accepted": (*before.accepted, before.fingerprint)})
    raise CheckpointError(_refusal(run, info, now))


def _equal(before: RunData, now: RunData) -> bool:
    known = before.content is not None and now.content is not None
    return before.fingerprint == now.fingerprint and (not known or before.content == now.content)


def _refusal(run: runs.RunFolder, info: RunInfo, now: RunData) -> str:
    before = info.data
    then, there = (
        (before.fingerprint, now.fingerprint)
        if before.fingerprint != now.fingerprint
        else (str(before.content), str(now.content))
    )
    counts = f"{before.images:,} images then, {now.images:,} now; " if before.images != now.images else ""
    here = "" if counts or info.status == "finished" else " To accept them here: --check-data off."
    return (
        f"{run.path} was trained on other images: {counts}fingerprint {then[:_SHOWN]} then, {there[:_SHOWN]} now. "
        f"Restore them, or go on on these in a new run folder: --extend {run.path}.{here}"
    )
