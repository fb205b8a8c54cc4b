"""Pipes, devices and sockets are never opened: reading from one may wait without end, or never come to one."""

import errno
import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def require_regular(path: str | Path) -> None:
    """Checks that a path is a file or a folder, or leads to one, before it is opened.

    Args:
        path: What is to be opened.

    Raises:
        OSError: It is a pipe, a device or a socket, or it is missing or cannot be reached.
    """
    kind = kind_of(path)
    if kind not in ("a file", "a folder"):
        raise OSError(errno.EINVAL, f"it is {kind}, expected a file", str(path))


def kind_of(path: str | Path) -> str:
    """Returns what lies at a path, or where it leads: "a file", "a folder", "a pipe", "a socket" or "a device".

    Raises:
        OSError: It is missing or cannot be reached.
    """
    mode = os.stat(path).st_mode
    found = next((name for is_kind, name in _KINDS if is_kind(mode)), None)
    return found or ("a folder" if stat.S_ISDIR(mode) else "a file")


def require_regular_below(folder: Path) -> None:
    """Checks a folder whose files somebody else's code opens.

    Args:
        folder: Looked through to its end; links to folders are not followed.

    Raises:
        OSError: A pipe, a device or a socket lies in it.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(place, name)
            if os.path.exists(file):
                require_regular(file)
