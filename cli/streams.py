"""Standard output and standard error that may be closed or full.

Results that cannot be delivered are an error, which names the stream. Messages that cannot be delivered are dropped:
a run of a week must not end because its terminal is gone or its log is full.
"""

import io
import os
import sys
from typing import TextIO

STANDARD_OUTPUT = "standard output"


class _Results(io.FileIO):
    """Names the stream in errors."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        """Writes, and returns the number of bytes."""
        try:
            return super().write(content) or 0
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, STANDARD_OUTPUT) from error


class _Messages(io.FileIO):
    """Drops what cannot be written."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        """Writes, and returns the number of bytes."""
        try:
            return super().write(content) or 0
        except OSError:
            return len(content)


def open_streams() -> None:
    """Puts streams of these kinds in the place of Python's; a closed one goes nowhere."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Else the next file that is opened would get its number, and the messages of native code with it.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _text(_Results(1, "w", closefd=False), sys.stdout, "strict")
    sys.stderr = _text(_Messages(2, "w", closefd=False), sys.stderr, "backslashreplace")


def _text(raw: io.FileIO, before: TextIO | None, errors: str) -> io.TextIOWrapper:
    encoding = getattr(before, "encoding", None) or "utf-8"
    errors = getattr(before, "errors", None) or errors
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=True)
