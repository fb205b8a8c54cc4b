"""Grids: tables of runs that differ from one recipe in a few settings, as TOML files."""

import itertools
import json
import re
import tomllib
import zlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, TypeGuard

from pydantic import Field, ValidationError, model_validator

from barlowtf.config.explaining import as_sentence, explain, in_one_line, name_nearest, shown
from barlowtf.config.reading import read_toml
from barlowtf.config.section import Section
from barlowtf.errors import ConfigError

# A grid of one's own with more cells is a slip: 16 values of each of four settings.
_MOST_CELLS = 1000
# Settings that are the same in all cells.
_OWNED = {"train.seed": "--seeds", "data.source": "--data"}
Value = bool | int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
Settings = dict[str, Value]


class Cell(Section):
    """One cell of a grid: its runs share all settings but the seed."""

    name: str = Field(min_length=1, max_length=80, description="in tables; each cell has another one")
    set: Settings = Field({}, description="settings of the recipe, section.key = value")
    lars: Settings = Field({}, description="more settings, where the optimizer of the base recipe is LARS")
    x: float | None = Field(None, description="place on the horizontal axis of the plot")
    series: str = Field("", description="cells of one series are joined by a line")
    published: float | None = Field(None, description="the paper's figure, as `measure` of the grid says")

    @property
    def slug(self) -> str:
        """The name as a name of a folder: letters, digits, dots, "-" and "_"; a checksum where others are lost."""
        name = self.name.lower()
        plain = re.sub(r"[^a-z0-9._-]+", "-", name).strip("-.") or "cell"
        lost = re.search(r"[^a-z0-9._, -]", name) or plain == "cell"
        return f"{plain}-{zlib.crc32(self.name.encode()):08x}" if lost else plain


class Grid(Section):
    """A table of runs and the question that it answers."""

    title: str = Field(description="what is compared")
    question: str = Field("", description="what the comparison is to answer")
    source: str = Field("", description="paper and table or figure")
    measure: str = Field("", description="what the published figures are")
    note: str = Field("", description="what differs from the paper")
    x_label: str = Field("", description="title of the horizontal axis; empty: a row for each cell")
    x_log: bool = Field(False, description="whether that axis is logarithmic")
    equal: Literal["epochs", "time"] = Field("epochs", description="what the cells have in common where time is short")
    base: Settings = Field({}, description="settings of all cells")
    axes: dict[str, tuple[Value, ...]] = Field({}, description="section.key = values; the cells are all combinations")
    cells: tuple[Cell, ...] = Field((), description="the cells, where there are no axes")

    @model_validator(mode="after")
    def _cells_or_axes(self) -> Self:
        if bool(self.cells) == bool(self.axes):
            both = "both cells and" if self.cells else "neither cells nor"
            raise ValueError(f"cells: received {both} axes, expected one of them")
        sizes = [len(values) for values in self.axes.values()]
        if 0 in sizes:
            empty = list(self.axes)[sizes.index(0)]
            raise ValueError(f"axes.{empty}: received an empty list, expected at least one value")
        count = len(self.cells)
        if self.axes:
            count = 1
            for size in sizes:
                count *= size
        if count > _MOST_CELLS:
            raise ValueError(f"cells: received {count}, expected at most {_MOST_CELLS}")
        cells = self.every_cell()
        slugs = [cell.slug for cell in cells]
        twice = [cell.name for cell in cells if slugs.count(cell.slug) > 1]
        if twice:
            raise ValueError(
                f"cells: received the names {shown(twice[0])} and {shown(twice[1])}, expected another folder for each"
            )
        of_cells = (each for cell in self.cells for each in (cell.set, cell.lars))
        settings: list[Mapping[str, Any]] = [self.base, self.axes, *of_cells]
        owned = [key for each in settings for key in each if key in _OWNED]
        if owned:
            raise ValueError(f"cells: received the setting {owned[0]}, which {_OWNED[owned[0]]} sets for all cells")
        return self

    def every_cell(self) -> tuple[Cell, ...]:
        """Returns the cells, those of axes written out; a single axis of numbers is the horizontal one."""
        if not self.axes:
            return self.cells
        keys, single = list(self.axes), len(self.axes) == 1
        return tuple(
            Cell(
                name=", ".join(f"{_short(key, keys)} {_text(value)}" for key, value in zip(keys, values, strict=True)),
                set=dict(zip(keys, values, strict=True)),
                x=float(values[0]) if single and _is_number(values[0]) else None,
            )
            for values in itertools.product(*self.axes.values())
        )


def named_grids() -> list[str]:
    """Returns the names of the grids that come with the package, sorted."""
    files = resources.files("barlowtf_configs").joinpath("ablations").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_grid(name_or_file: str | Path) -> Grid:
    """Returns the grid of a packaged name or a TOML file.

    Raises:
        ConfigError: No such grid, not TOML, unknown key, wrong type or range.
    """
    path = Path(name_or_file)
    if path.suffix == ".toml" or path.is_file():
        text, origin = read_toml(path, "grid"), str(path)
    elif str(path) in named_grids():
        packaged = resources.files("barlowtf_configs").joinpath("ablations", f"{path}.toml")
        text, origin = packaged.read_text(encoding="utf-8"), f"grid {path}"
    else:
        names = named_grids()
        raise ConfigError(
            f"Unknown grid: received {shown(str(path))}, expected one of {', '.join(names)}, or the path of a .toml "
            f"file.{name_nearest(str(path), names)}"
        )
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{origin} is not valid TOML: {str(error)[:200]}.") from error
    try:
        return Grid.model_validate(_with_tuples(tables))
    except ValidationError as error:
        raise ConfigError(as_sentence(f"{origin}: {in_one_line(_faults(error, tables))}")) from error


def _faults(error: ValidationError, tables: Mapping[str, Any]) -> list[str]:
    """Returns what is wrong with a grid, each setting once, the cells by their names."""
    known = [*Grid.model_fields, *(f"cells.{key}" for key in Cell.model_fields)]
    faults: dict[str, str] = {}
    for found in error.errors():
        fault: dict[str, Any] = dict(found)
        place = [str(part) for part in fault["loc"] if not _is_kind(part)]
        if place[:1] == ["cells"] and len(place) > 1 and place[1].isdecimal():
            cell = tables["cells"][int(place[1])]
            place[1] = str(cell["name"]) if isinstance(cell, Mapping) and "name" in cell else place[1]
        key = ".".join(place)
        if any(map(_is_kind, fault["loc"])):
            expected = "a finite number, a text, true, false, or a list of one kind"
            faults.setdefault(key, f"Invalid {key}: received {shown(fault['input'])}, expected {expected}")
        else:
            faults.setdefault(key, explain({**fault, "loc": tuple(place)}, known, owner="grid"))
    return list(faults.values())


def _is_kind(part: int | str) -> bool:
    """Returns whether a part of a place is not a key, but a kind that a value was tried as."""
    return str(part).partition("[")[0] in ("bool", "int", "float", "str", "tuple", "constrained-str")


def as_overrides(settings: Mapping[str, Any]) -> list[str]:
    """Returns settings as `section.key=value`, the value as TOML."""
    # JSON's texts, numbers, lists and truth values are TOML's, on one line.
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def _with_tuples(value: Any) -> Any:
    """Returns TOML's tables with tuples for lists and no nesting of settings: "loss.lambd", quoted or as a table."""
    if isinstance(value, list):
        return tuple(map(_with_tuples, value))
    if not isinstance(value, Mapping):
        return value
    return {
        key: _flat(item) if key in ("set", "lars", "base", "axes") and isinstance(item, Mapping) else _with_tuples(item)
        for key, item in value.items()
    }


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = _with_tuples(value)
    return flat


def _short(key: str, keys: list[str]) -> str:
    """Returns the last part of a key where it is enough to tell it apart."""
    last = key.rpartition(".")[2]
    return last if [other.rpartition(".")[2] for other in keys].count(last) == 1 else key


def _text(value: Any) -> str:
    return (
        "-".join(map(_text, value)) if isinstance(value, tuple) else f"{value:g}" if _is_number(value) else str(value)
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
