"""Axes: where ticks lie, what they say, and from values to places."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """From values in [low, high] to places in [start, end]; both ends are ticks or just beyond the data.

    Attributes:
        low: Value at `start`.
        high: Value at `end`, > `low`.
        start: Place of `low`.
        end: Place of `high`.
        logarithmic: Whether equal factors, not equal differences, have equal lengths; then `low` > 0.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Returns where a value lies."""
        low, high, value = self.low, self.high, float(value)
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Returns round values in [low, high], rising."""
        values = _log_ticks(self.low, self.high) if self.logarithmic else _linear_ticks(self.low, self.high, about)
        slack = 1e-9 * (self.high - self.low)
        return [value for value in values if self.low - slack <= value <= self.high + slack]


def make_scale(values: list[float], start: float, end: float, *, may_be_log: bool, from_zero: bool) -> Scale:
    """Returns a scale that shows all values.

    Args:
        values: Finite, at least one.
        start: Place of the smallest.
        end: Place of the largest.
        may_be_log: Logarithmic where the values are positive and span a factor of 5 or more.
        from_zero: A linear scale begins at 0.
    """
    low, high = min(values), max(values)
    if may_be_log and low > 0 and high >= 5 * low:
        margin = (high / low) ** 0.04
        return Scale(low / margin, high * margin, start, end, logarithmic=True)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        low, high = (low - 0.5 * abs(low), high + 0.5 * abs(high)) if low else (0.0, 1.0)
    step = _step(high - low, 5)
    return Scale(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, start, end)


def say(value: float) -> str:
    """Returns a number for a reader: four significant digits, thousands with a comma, no exponent where short."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        digits, _, exponent = f"{value:.3g}".partition("e")
        return f"{digits}e{int(exponent)}" if exponent else digits
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _step(extent: float, about: int) -> float:
    """The round step, 1, 2 or 5 times a power of ten, that makes about so many intervals."""
    rough = extent / about
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(digit for digit in (1.0, 2.0, 5.0, 10.0) if rough <= digit * power * (1 + 1e-9))


def _linear_ticks(low: float, high: float, about: int) -> list[float]:
    step = _step(high - low, about)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    # Rounded: 3 * 0.1 is not 0.3.
    return [round((first + number) * step, 12 - math.floor(math.log10(step))) for number in range(count)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = math.log10(high / low)
    digits = (1, 2, 5) if decades < 2.5 else (1, 3) if decades < 4 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [digit * 10.0**power for power in powers for digit in digits]
    every = math.ceil(len(powers) / 7) if digits == (1,) else 1
    return values[::every]
