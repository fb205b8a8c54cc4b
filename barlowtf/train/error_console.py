"""Where progress is drawn."""

import logging

from rich.console import Console


def error_console() -> Console:
    """Returns the console of standard error; it shows nothing where the log shows no progress either."""
    return Console(stderr=True, quiet=not logging.getLogger("barlowtf").isEnabledFor(logging.INFO))
