"""Times that people write and read."""

import re

from barlowtf.errors import ConfigError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_budget(text: str) -> float:
    """Returns a time in seconds: "30m", "8h", "1h30m", "90s" or "2d".

    Raises:
        ConfigError: It is not a time, or is not above 0.
    """
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
        raise ConfigError(
            f"Invalid budget: received {text!r}, expected a time with its unit, such as 30m, 8h or 1h30m."
        )
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)([smhd])", text))
    if not seconds > 0:
        raise ConfigError(f"Invalid budget: received {text!r}, expected more than 0 seconds.")
    return seconds


def format_time(seconds: float) -> str:
    """Returns a time for people: "45 s", "20 min", "1 h 30 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{minutes} min" if not hours else f"{hours} h {minutes} min" if minutes else f"{hours} h"
