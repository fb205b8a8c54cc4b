"""Recipes from TOML files and `--set` overrides, and back to TOML."""

import logging
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

import tomli_w
from pydantic import BaseModel, ValidationError

from barlowtf.config.explaining import SHOWN_FAULTS, as_sentence, causes, explain, in_one_line, shown
from barlowtf.config.optimizers import OPTIMIZERS
from barlowtf.config.reading import named_recipes, read_tables, start_anew
from barlowtf.config.schema import Recipe
from barlowtf.errors import ConfigError

_LOG = logging.getLogger("barlowtf")
# TOML has no null: this string stands for it in a recipe.
NONE = "none"


def summarize_recipes() -> dict[str, str]:
    """Returns the first line of each packaged recipe by its name, which says what it is."""
    folder = resources.files("barlowtf_configs")
    return {
        name: folder.joinpath(f"{name}.toml").read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        for name in named_recipes()
    }


def load_recipe(name_or_file: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Returns the recipe of a packaged name or a TOML file, with `a.b=value` overrides applied.

    Args:
        name_or_file: A name from `named_recipes` or the path of a TOML file, which may extend another recipe.
        overrides: Strings `section.key=value`; the value is TOML (`0.3`, `true`, `[256, 256]`) or a bare string. Their
            order does not matter. An `optimizer.name` or `loss.name` that differs from the recipe's starts that section
            anew: of [optimizer] the keys that both optimizers have are kept, of [loss] none. A `train.epochs` that is
            shorter than the recipe's warm-up shortens it in proportion, unless `optimizer.warmup_epochs` is given, too.

    Raises:
        ConfigError: No such recipe, not TOML, unknown key, wrong type or range.
    """
    tables, origin = read_tables(name_or_file)
    return resolve(tables, overrides, origin)


def resolve(tables: dict[str, Any], overrides: Iterable[str], origin: str) -> Recipe:
    """Returns the recipe of nested tables of settings, with overrides applied, see `load_recipe`.

    Args:
        tables: Section -> key -> value, as TOML has them; the overrides change them.
        overrides: Strings `section.key=value`.
        origin: Where the tables come from, for messages.

    Raises:
        ConfigError: Unknown key, wrong type or range.
    """
    overrides = list(overrides)
    for text in overrides:
        key, value = split_override(text)
        if key in ("optimizer.name", "loss.name"):
            start_anew(tables, key.removesuffix(".name"), _value(value))
    given = {split_override(text)[0] for text in overrides}
    epochs = _number(tables, "train", "epochs")
    for text in overrides:
        override(tables, text)
    if "train.epochs" in given and "optimizer.warmup_epochs" not in given:
        _shorten_warmup(tables, epochs)
    return _validate(tables, origin)


def _shorten_warmup(tables: dict[str, Any], before: float) -> None:
    """Shortens a warm-up that fits into `before` epochs, and not into those of the tables, in proportion."""
    epochs, warmup = _number(tables, "train", "epochs"), _number(tables, "optimizer", "warmup_epochs")
    if 1 <= epochs <= warmup < before:
        shorter = float(f"{warmup * epochs / before:.3g}")
        tables.setdefault("optimizer", {})["warmup_epochs"] = shorter
        _LOG.info(
            "optimizer.warmup_epochs is %g instead of %g, in proportion to train.epochs, %g instead of %g.",
            *(shorter, warmup, epochs, before),
        )


def _number(tables: Mapping[str, Any], section: str, key: str) -> float:
    """Returns a number of nested tables, its default where it is not there; 0 where it is none or far too large."""
    table = tables.get(section, {})
    value = table.get(key, getattr(Recipe.model_fields[section].default, key)) if isinstance(table, Mapping) else 0
    return value if isinstance(value, int | float) and abs(value) < 2**53 else 0


def check_overrides(overrides: Iterable[str]) -> None:
    """Checks overrides by themselves, for a recipe that is still to be chosen: keys, types and ranges.

    Whether they fit together is seen once the recipe is there.

    Args:
        overrides: Strings `section.key=value`.

    Raises:
        ConfigError: Unknown key, wrong type or range.
    """
    tables: dict[str, Any] = {}
    for text in overrides:
        override(tables, text)
    try:
        Recipe.model_validate(_fit(_with_optimizer(tables), Recipe))
    except ValidationError as error:
        faults = [fault for fault in causes(error.errors()) if fault["type"] != "value_error"]
        if faults:
            lines = in_one_line([_explain(item, tables) for item in faults[:SHOWN_FAULTS]], len(faults))
            raise ConfigError(as_sentence(lines)) from error


def dump_recipe(recipe: Recipe) -> str:
    """Returns the complete recipe as TOML; `load_recipe` reads it back equal."""
    text: str = tomli_w.dumps(_with_none(recipe.model_dump(mode="python")))
    return text


def recipe_differences(first: Recipe, second: Recipe) -> list[str]:
    """Returns one line `section.key: x -> y` for each setting in which two recipes differ."""
    before, after = _flat(first.model_dump()), _flat(second.model_dump())
    return [
        f"{key}: {before.get(key, 'not set')} -> {after.get(key, 'not set')}"
        for key in before | after
        if key not in before or key not in after or before[key] != after[key]
    ]


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
            raise ConfigError(f"Invalid --set {shown(text)}: {parent!r} is a value, expected a section.")
    table[last] = _value(value)


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """Returns {"section.key": value} of strings `section.key=value`, lists as tuples and "none" as None.

    Raises:
        ConfigError: One has no such form.
    """
    parsed = {}
    for text in overrides:
        key, value = split_override(text)
        item = _value(value)
        parsed[key] = None if item == NONE else tuple(item) if isinstance(item, list) else item
    return parsed


def split_override(text: str) -> tuple[str, str]:
    """Returns key and value of `key=value`, both as text.

    Raises:
        ConfigError: It has no such form.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"Invalid --set {shown(text)}: expected section.key=value, e.g. optimizer.learning_rate=0.3.")
    return key.strip(), value.strip()


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _with_optimizer(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Returns tables in which the optimizer has a name."""
    tables = dict(tables)
    if isinstance(tables.get("optimizer"), dict):
        tables["optimizer"] = {"name": Recipe.model_fields["optimizer"].default.name, **tables["optimizer"]}
    return tables


def _validate(tables: Mapping[str, Any], origin: str) -> Recipe:
    tables = _with_optimizer(tables)
    try:
        # Strict models take a list for a tuple and an int for a float only from JSON-like input; both are TOML's way.
        return Recipe.model_validate(_fit(tables, Recipe))
    except ValidationError as error:
        faults = causes(error.errors())
        # Looking for what a wrong key may mean takes a millisecond, and there may be many.
        lines = in_one_line([_explain(fault, tables) for fault in faults[:SHOWN_FAULTS]], len(faults))
        raise ConfigError(as_sentence(f"{origin}: {lines}")) from error


def _explain(error: dict[str, Any], tables: Mapping[str, Any]) -> str:
    """Returns what is wrong with a setting of a recipe, one line."""
    if error["type"] == "union_tag_invalid":
        return (
            f"Invalid optimizer.name: received {shown(error['input']['name'])}, expected one of {', '.join(OPTIMIZERS)}"
        )
    known = list(Recipe.model_fields)
    section, *rest = error["loc"] or ("",)
    if section != "optimizer" or not rest:
        known += _flat(Recipe().model_dump())
        return explain(error, known)
    # Within a union the place holds the optimizer's name, which is no part of the key.
    name, *place = rest
    fields = OPTIMIZERS[name].model_fields
    owners = [other for other, kind in OPTIMIZERS.items() if place and place[0] in kind.model_fields]
    if error["type"] == "extra_forbidden" and owners:
        return (
            f"Unknown setting 'optimizer.{place[0]}' of optimizer {name}, a setting of {', '.join(owners)}: "
            f"expected one of {', '.join(fields)}"
        )
    known = [f"optimizer.{key}" for key in fields]
    # Of a recipe that is still to be chosen the optimizer may not be known.
    owner = f"optimizer {name}" if "name" in tables["optimizer"] else ""
    return explain({**error, "loc": (section, *place)}, known, owner=owner)


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
        elif isinstance(item, Mapping) and model is Recipe and key == "optimizer":
            fitted[key] = _fit(item, OPTIMIZERS.get(str(item["name"]), BaseModel))
        elif item == NONE:
            fitted[key] = None
        else:
            fitted[key] = tuple(item) if isinstance(item, list) else item
    return fitted


def _with_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_none(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_with_none(item) for item in value]
    return NONE if value is None else value


def flat_settings(recipe: Recipe) -> dict[str, Any]:
    """Returns every setting of a recipe by its dotted name: {"train.epochs": 100}."""
    return _flat(recipe.model_dump())


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            flat.update(_flat(cast(Mapping[str, Any], value), f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
