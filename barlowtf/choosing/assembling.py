"""From chosen settings to a recipe."""

from collections.abc import Iterable, Mapping
from typing import Any

from barlowtf.config import Recipe, resolve


def assemble(chosen: Mapping[str, Any], overrides: Iterable[str] = ()) -> Recipe:
    """Returns the recipe of settings {"section.key": value}; what is not among them has its default.

    Args:
        chosen: Settings that rules chose.
        overrides: What the user chose, `section.key=value`.

    Raises:
        ConfigError: The settings do not fit together.
    """
    tables: dict[str, Any] = {}
    for key, value in chosen.items():
        *parents, last = key.split(".")
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return resolve(tables, overrides, "The chosen recipe")
