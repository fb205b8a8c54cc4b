"""The images that a run or a command passes over: one rule for all readers.

An image that cannot be read is named once in the log, counted against a limit, and listed in a file. Whoever reads
images is given the one object of its run or command.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from barlowtf.data.images import reason_of, unreadable_reason
from barlowtf.data.rendering import Rendering
from barlowtf.data.source import Source
from barlowtf.errors import DataError
from barlowtf.records import SkippedImage, append_line, read_lines

_LOG = logging.getLogger("barlowtf")
# The file's name in a run folder, or beside what a command writes.
SKIPPED_FILE = "skipped.jsonl"
MAX_UNREADABLE = 100
# How often a batch is read anew though each of its images can be read: a file was changed between the two.
_TRIES = 3


class SkippedImages:
    """The images that were passed over so far.

    Attributes:
        limit: Maximum number of images to pass over, >= 0.
    """

    def __init__(
        self,
        limit: int = MAX_UNREADABLE,
        *,
        file: Path | None = None,
        setting: str = "data.max_unreadable",
        level: int = logging.WARNING,
    ):
        """Starts with none.

        Args:
            limit: Maximum number of images to pass over, >= 0.
            file: Lists them, one JSON object per line, see `barlowtf.records.SkippedImage`; it is made with the first.
                None: see `list_in`.
            setting: What raises the limit, for the message.
            level: At which level of the log each is named.
        """
        self.limit, self._setting, self._file, self._level = limit, setting, file, level
        self._found: dict[tuple[str, str, int], SkippedImage] = {}
        # Data and place of what the file lists; None: not known yet.
        self._listed: set[tuple[object, object]] | None = None

    def __len__(self) -> int:
        """Number of images that were passed over."""
        return len(self._found)

    @property
    def images(self) -> tuple[SkippedImage, ...]:
        """What was passed over, in the order in which it was found."""
        return tuple(self._found.values())

    def reasons(self, source: Source) -> dict[int, str]:
        """Returns the numbers of a data set's images that were passed over, and why."""
        name, fingerprint = source.name, source.fingerprint
        return {number: found.reason for (*of, number), found in self._found.items() if of == [name, fingerprint]}

    def list_in(self, file: Path) -> None:
        """Lists what was passed over so far, and what will be, in a file.

        Raises:
            OSError: It cannot be written.
        """
        self._file, self._listed = file, None
        self._write(self._found.values())

    def without(self, source: Source, ids: np.ndarray) -> np.ndarray:
        """Returns those of some numbers, int64 [n], whose images were not passed over, in their order."""
        known = list(self.reasons(source))
        return ids if not known else ids[~np.isin(ids, known)]

    def is_readable(
        self,
        source: Source,
        number: int,
        channels: int,
        rendering: Rendering,
        consequence: str = "It is left out.",
    ) -> bool:
        """Returns whether an image can be read and decoded now; if not, it is passed over from here on.

        Args:
            source: Its data set.
            number: Its number there.
            channels: Channels of the images, >= 1.
            rendering: How they are decoded; the pixels that they may have.
            consequence: What happens without it, a sentence for the log.

        Raises:
            DataError: It is one too many.
        """
        reason = unreadable_reason(source, number, channels, rendering)
        if reason is not None:
            self.skip(source, number, reason, consequence)
        return reason is None

    def skip(self, source: Source, number: int, reason: str, consequence: str = "It is left out.") -> None:
        """Passes over an image: names, counts and lists it, unless that was done before.

        Raises:
            DataError: It is one too many.
            OSError: The list cannot be written.
        """
        key = (source.name, source.fingerprint, int(number))
        if key in self._found:
            return
        place = storable_text(source.identify(int(number)))
        found = SkippedImage(image=place, reason=reason.rstrip("."), data=source.name, number=int(number))
        self._found[key] = found
        _LOG.log(self._level, "Unreadable image %s: %s. %s", found.image, found.reason, consequence)
        self._write([found])
        if len(self._found) > self.limit:
            raise DataError(
                f"Too many unreadable images: received {len(self._found)}, expected at most {self.limit}. The last is "
                f"{found.image} ({found.reason}). Repair or remove them, or raise {self._setting}."
            )

    def _write(self, images: Iterable[SkippedImage]) -> None:
        if self._file is None:
            return
        for image in images:
            if self._listed is None:
                # A resumed run finds again what it has listed before.
                self._listed = {(line.get("data"), line.get("image")) for line in read_lines(self._file)}
            if (image.data, image.image) not in self._listed:
                append_line(self._file, image.model_dump(mode="json"))
                self._listed.add((image.data, image.image))


def storable_text(path: str) -> str:
    """Returns a path as text that can be stored: bytes that are not UTF-8 as a backslash, x and two digits."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class FailedReads:
    """Decides about a batch that cannot be read: which of its images to pass over, when to read again, when to stop."""

    def __init__(
        self,
        source: Source,
        channels: int,
        rendering: Rendering,
        skipped: SkippedImages,
        consequence: str = "It is left out.",
    ):
        """Has seen no failure yet.

        Args:
            source: The images.
            channels: Their channels, >= 1.
            rendering: How they are decoded.
            skipped: Receives those that cannot be read.
            consequence: See `SkippedImages.is_readable`.
        """
        self._source, self._channels, self._rendering = source, channels, rendering
        self._skipped, self._consequence = skipped, consequence
        self._tries = 0

    def succeed(self) -> None:
        """Notes that a batch was read."""
        self._tries = 0

    def find(self, error: tf.errors.OpError, ids: Iterable[int]) -> list[int]:
        """Returns which images of a batch cannot be read; none: read the batch again.

        Args:
            error: What reading the batch raised.
            ids: Numbers of its images.

        Raises:
            DataError: There are too many such images; or there is none, again and again.
            tf.errors.ResourceExhaustedError: The batch does not fit into memory.
        """
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise error
        known = self._skipped.reasons(self._source)
        numbers = [int(number) for number in ids]
        bad = [number for number in numbers if number in known or not self._is_readable(number)]
        self._tries = 0 if bad else self._tries + 1
        if self._tries >= _TRIES:
            raise DataError(
                f"Cannot read a batch of {self._source.name}, though each of its {len(numbers)} images can be read: "
                f"{reason_of(error).rstrip('.')}. Check the disk, and whether other programs change the files."
            ) from error
        return bad

    def _is_readable(self, number: int) -> bool:
        return self._skipped.is_readable(self._source, number, self._channels, self._rendering, self._consequence)
