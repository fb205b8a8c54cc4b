"""Recipes from TOML files and `--set` overrides, and back to TOML."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

import tomli_w
from pydantic import BaseModel, ValidationError

from barlowtf.config.schema import Recipe
from barlowtf.errors import ConfigError

# TOML has no null: this string stands for it in a recipe.
NONE = "none"


def named_recipes() -> list[str]:
    """Returns the names of the recipes that come with the package, sorted."""
    files = resources.files("barlowtf_configs").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_recipe(name_or_file: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Returns the recipe of a packaged name or a TOML file, with `a.b=value` overrides applied.

    Args:
        name_or_file: A name from `named_recipes` or the path of a TOML file.
        overrides: Strings `section.key=value`; the value is TOML (`0.3`, `true`, `[256, 256]`) or a bare string.

    Raises:
        ConfigError: No such recipe, not TOML, unknown key, wrong type or range.
    """
    content, origin = _read(name_or_file)
    try:
        tables = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin} is not valid TOML: {error}.") from error
    for text in overrides:
        override(tables, text)
    return _validate(tables, origin)


def dump_recipe(recipe: Recipe) -> str:
    """Returns the complete recipe as TOML; `load_recipe` reads it back equal."""
    text: str = tomli_w.dumps(_with_none(recipe.model_dump(mode="python")))
    return text


def recipe_differences(first: Recipe, second: Recipe) -> list[str]:
    """Returns one line `section.key: x -> y` for each setting in which two recipes differ."""
    before, after = _flat(first.model_dump()), _flat(second.model_dump())
    return [f"{key}: {before[key]} -> {after[key]}" for key in before if before[key] != after[key]]


def _read(name_or_file: str | Path) -> tuple[str, str]:
    path = Path(name_or_file)
    if path.suffix == ".toml" or path.is_file():
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"Cannot read recipe {path}: {error}.") from error
    names = named_recipes()
    if str(name_or_file) not in names:
        raise ConfigError(
            f"No recipe {str(name_or_file)!r}.{_nearest(str(name_or_file), names)} "
            f"Expected one of {', '.join(names)}, or the path of a .toml file."
        )
    file = resources.files("barlowtf_configs").joinpath(f"{name_or_file}.toml")
    text: str = file.read_text(encoding="utf-8")
    return text, f"recipe {name_or_file}"


def override(tables: dict[str, Any], text: str) -> None:
    """Puts the value of `section.key=value` into nested tables.

    Raises:
        ConfigError: It has no such form, or a section on the way is a value.
    """
    key, value = split_override(text)
    *parents, last = key.split(".")
    table = tables
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"Cannot set {key!r}: {parent!r} is a value, not a section.")
    table[last] = _value(value)


def split_override(text: str) -> tuple[str, str]:
    """Returns key and value of `key=value`, both as text.

    Raises:
        ConfigError: It has no such form.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"Cannot read --set {text!r}. Expected section.key=value, e.g. optimizer.learning_rate=0.3.")
    return key.strip(), value.strip()


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _validate(tables: Mapping[str, Any], origin: str) -> Recipe:
    try:
        # Strict models take a list for a tuple and an int for a float only from JSON-like input; both are TOML's way.
        return Recipe.model_validate(_fit(tables, Recipe))
    except ValidationError as error:
        known = list(_flat(Recipe().model_dump())) + list(Recipe.model_fields)
        lines = "; ".join(explain(dict(item), known) for item in error.errors())
        raise ConfigError(f"{origin}: {lines}.") from error


def _fit(value: Any, model: type[BaseModel]) -> Any:
    """Returns TOML tables with lists as tuples and "none" as None where the model has a section or a value for them."""
    if not isinstance(value, Mapping):
        return value
    fitted = {}
    for key, item in value.items():
        field = model.model_fields.get(key)
        annotation = field.annotation if field else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fitted[key] = _fit(item, annotation)
        elif item == NONE:
            fitted[key] = None
        else:
            fitted[key] = tuple(item) if isinstance(item, list) else item
    return fitted


def explain(error: Mapping[str, Any], known: Iterable[str]) -> str:
    """Returns what pydantic found wrong with a setting, one line; `known` are the names that a wrong one may mean."""
    where = ".".join(str(part) for part in error["loc"] if not isinstance(part, int))
    if error["type"] == "extra_forbidden":
        return f"unknown key {where!r}.{_nearest(where, known)}".rstrip(".")
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{where}: {message}" if where else message
    return f"{where}: {message[0].lower()}{message[1:]}, received {error['input']!r}"


def _nearest(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the closest known name, by whole name first, by last part next, or ""."""
    known = list(known)
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not matches:
        by_last = {key.rpartition(".")[2]: key for key in known}
        matches = [by_last[m] for m in difflib.get_close_matches(name.rpartition(".")[2], by_last, n=1, cutoff=0.6)]
    return f" Did you mean {matches[0]!r}?" if matches else ""


def _with_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_none(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_with_none(item) for item in value]
    return NONE if value is None else value


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            flat.update(_flat(cast(Mapping[str, Any], value), f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
