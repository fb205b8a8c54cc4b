"""The tables behind the open doors: losses, encoders, protocols, export formats and data sources.

A table knows the names of its entries without importing them, so that help texts answer at once. A user's own entry
comes in by "package.module:name" or "file.py:name", without a change to the package.
"""

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from barlowtf.errors import ConfigError

Entry = TypeVar("Entry")


class Table(Mapping[str, Entry], Generic[Entry]):
    """Name -> entry; each entry is imported when it is first asked for.

    Attributes:
        kind: What the entries are, for messages: "loss".
        summaries: Name -> what the entry is, one line for help texts.
    """

    def __init__(self, kind: str, entries: Mapping[str, tuple[str, str]]) -> None:
        """Imports nothing yet.

        Args:
            kind: What the entries are, for messages: "loss".
            entries: Name -> where its entry is defined, "package.module:name", and its summary; the order is kept.
        """
        self.kind = kind
        self.summaries = {name: summary for name, (_, summary) in entries.items()}
        self._places = {name: place for name, (place, _) in entries.items()}

    def __getitem__(self, name: str) -> Entry:
        """Returns the entry called `name`, imported on first use."""
        place = self._places[name]
        entry: Entry = _attribute(importlib.import_module(place.partition(":")[0]), place)
        return entry

    def __contains__(self, name: object) -> bool:
        """Returns whether the table has an entry of this name; imports nothing."""
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        """Yields the names in the order of the table."""
        return iter(self._places)

    def __len__(self) -> int:
        """Returns the number of entries."""
        return len(self._places)

    def open(self, spec: str) -> Entry:
        """Returns the entry that a recipe or a command names.

        Args:
            spec: A name of the table, "package.module:name" or "file.py:name".

        Raises:
            ConfigError: There is no such entry, or it cannot be imported.
        """
        if spec in self._places:
            return self[spec]
        if not is_own(spec):
            raise ConfigError(
                f"Unknown {self.kind}: received {spec!r}, expected one of {', '.join(self)}, "
                '"package.module:name" or "file.py:name".'
            )
        entry: Entry = load_own(spec, self.kind)
        return entry


def is_own(spec: str) -> bool:
    """Returns whether a text has the form of a user's own entry, "package.module:name" or "file.py:name"."""
    place, colon, name = spec.rpartition(":")
    return bool(colon) and name.isidentifier() and (place.endswith(".py") or _is_dotted(place))


def load_own(spec: str, kind: str) -> Any:
    """Returns the object that "package.module:name" or "file.py:name" names; its module is imported once.

    Args:
        spec: Where the object is defined. A file is looked for from the current folder.
        kind: What it is, for messages.

    Raises:
        ConfigError: The module is missing, fails when it is imported, or does not define the name.
    """
    place, _, name = spec.rpartition(":")
    try:
        module = _import_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except FileNotFoundError as error:
        raise ConfigError(f"Cannot open the {kind} {spec!r}: there is no file {place}.") from error
    # A user's module runs the user's code, which may raise anything.
    except Exception as error:
        raise ConfigError(f"Cannot open the {kind} {spec!r}: {type(error).__name__}: {error}.") from error
    if not hasattr(module, name):
        raise ConfigError(f"Cannot open the {kind} {spec!r}: {place} does not define {name!r}.")
    return _attribute(module, spec)


def require_trusted(spec: str, kind: str, *, named_in: str | Path, trust: bool) -> None:
    """Refuses to import code that a file from elsewhere names, unless it is trusted or imported already.

    Args:
        spec: An entry, "package.module:name" or "file.py:name"; any other text passes.
        kind: What it is, for messages: "encoder".
        named_in: The file.
        trust: Whether the file is trusted.

    Raises:
        ConfigError: The code would be imported now.
    """
    if not trust and is_own(spec) and not _is_imported(spec):
        raise ConfigError(
            f"Refused the {kind} {spec!r}, which {named_in} names: opening it runs that code. Add --trust, or "
            "trust=True, if you know who made it."
        )


def _is_imported(spec: str) -> bool:
    place = spec.rpartition(":")[0]
    return (_module_name(Path(place).resolve()) if place.endswith(".py") else place) in sys.modules


def _attribute(module: ModuleType, spec: str) -> Any:
    return getattr(module, spec.rpartition(":")[2])


def _is_dotted(place: str) -> bool:
    return bool(place) and all(part.isidentifier() for part in place.split("."))


def _module_name(path: Path) -> str:
    return f"barlowtf_own_{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


def _import_file(file: Path) -> ModuleType:
    """Returns the module of a file; two calls for one file return the same module."""
    path = file.resolve()
    if not path.is_file():
        raise FileNotFoundError(str(file))
    name = _module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise FileNotFoundError(str(file))
    module = importlib.util.module_from_spec(specification)
    # Registered before it runs, as the import system does: dataclasses and pickling look modules up by name.
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
