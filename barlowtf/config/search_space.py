"""What may be tried for a setting: a range, or a list of values."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from barlowtf.config.load import flat_settings, split_override
from barlowtf.config.schema import Recipe
from barlowtf.errors import ConfigError

_WIDEST, _FEWEST = 8.0, 16
_LAMBDS = (0.001, 0.05)
_AREAS = (0.08, 0.2, 0.4)


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included; `log`: equally likely by their order of magnitude."""

    low: float
    high: float
    log: bool
    whole: bool  # integers alone


class Choices(NamedTuple):
    """Values, each as JSON."""

    values: tuple[str, ...]


Space = Mapping[str, Range | Choices]


def default_space(recipe: Recipe) -> dict[str, Range | Choices]:
    """Returns what to try around a recipe: rate, weight of the redundancy term, projector, smallest crop.

    Args:
        recipe: With its loss settled.
    """
    rate, widths, area = recipe.optimizer.learning_rate, recipe.model.projector, recipe.augment.area
    space: dict[str, Range | Choices] = {
        "optimizer.learning_rate": Range(rate / _WIDEST, rate * _WIDEST, log=True, whole=False),
    }
    if "lambd" in recipe.loss.settings:
        space["loss.lambd"] = Range(*_LAMBDS, log=True, whole=False)
    sizes = sorted({max(int(widths[-1] * factor), _FEWEST) for factor in (0.25, 1.0, 4.0)})
    space["model.projector"] = Choices(tuple(json.dumps([size] * len(widths)) for size in sizes))
    areas = sorted({area[0], *(low for low in _AREAS if low < area[1])})
    space["augment.area"] = Choices(tuple(json.dumps([low, area[1]]) for low in areas))
    return space


def parse_space(texts: Sequence[str], recipe: Recipe) -> dict[str, Range | Choices]:
    """Returns what `KEY=LOW:HIGH`, `KEY=LOW:HIGH:log` and `KEY=VALUE|VALUE` name.

    Args:
        texts: At least one.
        recipe: Whose settings they are.

    Raises:
        ConfigError: A setting does not exist, or a text has no such form.
    """
    known = flat_settings(recipe)
    space: dict[str, Range | Choices] = {}
    for text in texts:
        key, value = split_override(text)
        if key not in known:
            raise ConfigError(
                f"Invalid --search {text!r}: the recipe has no setting {key!r}. Expected one such as "
                "optimizer.learning_rate=0.001:0.1:log."
            )
        space[key] = _choices(value) if "|" in value else _range(text, value)
    return space


def _choices(value: str) -> Choices:
    return Choices(tuple(json.dumps(_value(part.strip())) for part in value.split("|")))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _range(text: str, value: str) -> Range:
    low, _, rest = value.partition(":")
    high, _, scale = rest.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = (math.nan, math.nan)
    log, whole = scale == "log", all(end.strip().lstrip("-").isdigit() for end in (low, high))
    finite = all(map(math.isfinite, ends))
    if not finite or not ends[0] < ends[1] or scale not in ("", "log") or (log and ends[0] <= 0):
        raise ConfigError(
            f"Invalid --search {text!r}: expected KEY=LOW:HIGH, KEY=LOW:HIGH:log with numbers above 0, or "
            "KEY=VALUE|VALUE."
        )
    return Range(*ends, log=log, whole=whole)
