"""Whether a run goes on on the images that it began with."""

import logging
import math
import os
import shlex
from collections.abc import Sequence
from typing import Literal, TypeAlias

from barlowtf import data, runs
from barlowtf.errors import CheckpointError
from barlowtf.models import checkpoint
from barlowtf.records import RunData, RunInfo, read_lines

_LOG = logging.getLogger("barlowtf")
CheckData: TypeAlias = Literal["sample", "full", "off"]
# Letters of a fingerprint, and files, that a message shows.
_SHOWN, _NAMED = 8, 3


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
        check: "off": other images are accepted, if their number is the same, and recorded.

    Raises:
        CheckpointError: The images are others.
    """
    info = run.read_info()
    if info is None or not run.has_saved:
        return now
    before = info.data
    if _equal(before, now):
        known = now.model_copy(update={"accepted": before.accepted, "content": now.content or before.content})
    elif check == "off" and before.images == now.images:
        _LOG.warning("%s goes on with other images than it began with; run.json keeps both fingerprints.", run.path)
        known = now.model_copy(update={"accepted": (*before.accepted, before.fingerprint)})
    else:
        raise CheckpointError(_refusal(run, info, now))
    if before.measured != now.measured:
        _LOG.warning(
            "%s is measured on other labeled images than it began with: its accuracies before and from here on cannot "
            "be compared.",
            run.path,
        )
    return known


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
        f"{_name_missing(run, before, now)}Restore them, or go on with these in a new run folder: "
        f"{_extension(run, info, now)}.{here}"
    )


def _name_missing(run: runs.RunFolder, before: RunData, now: RunData) -> str:
    """Returns which images that the run has passed over are gone, and what stands in for them; "" where none explains.

    The number of images sets the order of all of them, so a run needs something in the place of each.
    """
    gone = []
    for file in sorted(run.path.glob("skipped*.jsonl")):
        for line in read_lines(file):
            place = str(line.get("image"))
            inside = place.removeprefix(before.source)
            # Of a folder alone an image is a file.
            if inside != place and os.path.isdir(now.source) and not os.path.lexists(now.source + inside):
                gone.append(now.source + inside)
    if not 0 < before.images - now.images <= len(gone):
        return ""
    more = f" (and {len(gone) - _NAMED} more, see {run.skipped()})" if len(gone) > _NAMED else ""
    return (
        "It has passed over the missing images as unreadable, so empty files can stand in for them: touch "
        f"{' '.join(map(shlex.quote, gone[:_NAMED]))}{more}, then the same command with --check-data off. "
    )


def _extension(run: runs.RunFolder, info: RunInfo, now: RunData) -> str:
    """Returns the command that trains for the rest of the epochs on the images that are there."""
    saved = max(map(checkpoint.step_of, checkpoint.list_checkpoints(run.checkpoints)), default=0)
    rest = math.ceil((info.steps.total - saved) / info.steps.per_epoch)
    epochs = f" --epochs {rest}" if info.status != "finished" and rest > 0 else ""
    images = "" if info.data.source == now.source else f" --data {shlex.quote(now.source)}"
    return f"barlowtf pretrain --extend {shlex.quote(str(run.path))}{images}{epochs}"
