"""Whether data sets and weights may be fetched: a dry run fetches nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ALLOWED: ContextVar[bool] = ContextVar("barlowtf_downloads", default=True)


def downloads_allowed() -> bool:
    """Returns whether a missing file may be fetched."""
    return _ALLOWED.get()


@contextmanager
def without_downloads() -> Iterator[None]:
    """Nothing is fetched inside: what is not on this machine is an error there, or is done without."""
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)
