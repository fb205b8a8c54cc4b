"""The tables of a recipe's file, and of the recipes that it extends."""

import logging
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from barlowtf.config.explaining import name_nearest, shown
from barlowtf.config.optimizers import OPTIMIZERS
from barlowtf.config.schema import Recipe
from barlowtf.errors import ConfigError
from barlowtf.regular import require_regular

_LOG = logging.getLogger("barlowtf")
_EXTENDS = "extends"
# Recipes that extend each other; far more than anybody writes.
_MOST = 16
# A packaged recipe has 5,000. Parsing so many takes a tenth of a second, and 10^6 keys many seconds.
_MOST_LETTERS = 200_000


def named_recipes() -> list[str]:
    """Returns the names of the recipes that come with the package, sorted."""
    files = resources.files("barlowtf_configs").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read_tables(name_or_file: str | Path) -> tuple[dict[str, Any], str]:
    """Returns section -> key -> value of a recipe, and what to call it in messages.

    A file that begins with `extends = "digits"`, or with the path of another file from its own folder, changes settings
    of that recipe. Another optimizer or loss starts its section anew, as an override does.

    Args:
        name_or_file: A name from `named_recipes` or the path of a TOML file.

    Raises:
        ConfigError: No such recipe, not TOML, or recipes that extend each other in a circle.
    """
    layers: list[dict[str, Any]] = []
    origins: list[str] = []
    place = Path(name_or_file)
    while len(layers) < _MOST:
        content, origin = _read(place)
        try:
            tables = tomllib.loads(content)
        except (ValueError, RecursionError) as error:
            # Beside its own errors: a number of thousands of digits, brackets in thousands of brackets.
            raise ConfigError(f"{origin} is not valid TOML: {str(error)[:200]}.") from error
        base = tables.pop(_EXTENDS, None)
        layers.append(tables)
        origins.append(origin)
        if base is None:
            return _merged(layers), origins[0]
        if not isinstance(base, str) or not base:
            raise ConfigError(
                f'{origin}: Invalid extends: received {shown(base)}, expected a recipe, extends = "digits".'
            )
        place = _place_of(base, place)
    raise ConfigError(f"Too many recipes: {' extends '.join(origins[:3])} and so on. Does one extend itself?")


def start_anew(tables: dict[str, Any], section: str, name: Any) -> None:
    """Renames an optimizer or a loss, and drops the keys that are not of the new one.

    Args:
        tables: Section -> key -> value; changed.
        section: "optimizer" or "loss".
        name: Of the new one.
    """
    table = tables.setdefault(section, {})
    if not isinstance(table, dict):
        return
    before = table.get("name", Recipe.model_fields[section].default.name)
    kept = OPTIMIZERS[name].model_fields if section == "optimizer" and name in list(OPTIMIZERS) else {}
    dropped = [key for key in table if key != "name" and key not in kept and name != before]
    for key in dropped:
        del table[key]
    if dropped:
        _LOG.info("%s.name is %s instead of %s, without the recipe's %s.", section, name, before, ", ".join(dropped))
    table["name"] = name


def _read(path: Path) -> tuple[str, str]:
    if path.suffix == ".toml" or (path.exists() and not path.is_dir()):
        return read_toml(path, "recipe"), str(path)
    names = named_recipes()
    if str(path) not in names:
        raise ConfigError(
            f"Unknown recipe: received {shown(str(path))}, expected one of {', '.join(names)}, or the path of a "
            f".toml file.{name_nearest(str(path), names)}"
        )
    packaged = resources.files("barlowtf_configs").joinpath(f"{path}.toml")
    return packaged.read_text(encoding="utf-8"), f"recipe {path}"


def read_toml(path: Path, kind: str) -> str:
    """Returns the text of a TOML file.

    Args:
        path: The file.
        kind: What it holds, for messages: "recipe".

    Raises:
        ConfigError: It is missing, is not text, or is far larger than such a file.
    """
    try:
        require_regular(path)
        with open(path, encoding="utf-8") as file:
            text = file.read(_MOST_LETTERS + 1)
    except OSError as error:
        raise ConfigError(f"Cannot read {kind} {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"Cannot read {kind} {path}: {error}.") from error
    if len(text) > _MOST_LETTERS:
        raise ConfigError(
            f"Invalid {kind} {path}: received {path.stat().st_size:,} bytes, expected at most {_MOST_LETTERS:,}, "
            f"far more than a {kind} needs. Is it another file?"
        )
    return text


def _place_of(base: str, file: Path) -> Path:
    """Returns where the recipe lies that a file extends."""
    beside = file.parent / base
    return beside if base not in named_recipes() and (beside.suffix == ".toml" or beside.is_file()) else Path(base)


def _merged(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the tables of the last layer with those before it on top, the first one last."""
    tables: dict[str, Any] = {}
    for layer in reversed(layers):
        for section in ("optimizer", "loss"):
            changes = layer.get(section)
            if section in tables and isinstance(changes, dict) and "name" in changes:
                start_anew(tables, section, changes["name"])
        _update(tables, layer)
    return tables


def _update(tables: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tables.get(key), dict):
            _update(tables[key], value)
        else:
            tables[key] = value
