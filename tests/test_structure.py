"""The floors of the design, and names that must not drift."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import barlowtf
from barlowtf import tables

ROOT = Path(barlowtf.__file__).parent
# A module imports only from floors below its own; packages on one floor do not import each other.
FLOORS = [
    {"errors", "leaving", "regular", "printable"},
    {"atomic"},
    {"config", "records", "runs", "launching", "doors", "tables", "places", "downloads"},
    {"distribute"},
    {"detection", "losses", "metrics", "optim"},
    {"augment"},
    {"data", "models"},
    {"convert"},
    {"encoders"},
    {"choosing", "train", "evaluation", "export", "report"},
    {"experiment"},
    {"__main__"},
]
# runs.py reads and writes the recipes of config/ and the records of records/: all are files on disk.
ALLOWED_BESIDE = {
    ("runs", "config"),
    ("runs", "records"),
    ("tables", "doors"),
    ("places", "doors"),
    ("places", "tables"),
}
WITHOUT_TENSORFLOW = FLOORS[0] | FLOORS[1] | FLOORS[2]


def _room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _floor(room):
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if node.module == "barlowtf":
                yield from (f"barlowtf.{alias.name}" for alias in node.names)
            else:
                yield node.module


MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_imports_only_from_floors_below(path):
    room = _room(path)
    for name in _imports(path):
        top, *rest = name.split(".")
        assert not name.startswith("keras.src")
        assert room not in WITHOUT_TENSORFLOW or top not in ("tensorflow", "keras")
        if top != "barlowtf" or not rest or rest[0] == room:
            continue
        assert _floor(rest[0]) < _floor(room) or (room, rest[0]) in ALLOWED_BESIDE, f"{room} imports {name}"


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT.parent / "cli").glob("*.py"))], ids=lambda path: path.name)
def test_files_stay_readable(path):
    assert len(path.read_text().splitlines()) <= 320, "split by noun"


@pytest.mark.parametrize(
    "module", ["barlowtf", *(f"barlowtf.{room}" for room in sorted(WITHOUT_TENSORFLOW)), "barlowtf_cli.main"]
)
def test_light_modules_do_not_start_tensorflow(module):
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    subprocess.run([sys.executable, "-c", code], check=True)


def _strings(path):
    """Yields the text constants of a module that are no docstrings, with their lines."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value, node.lineno


# Table -> the package whose entries it holds; the entries beside one another may name each other.
DOORS = {"LOSSES": "losses", "ENCODERS": "models", "PROTOCOLS": "evaluation", "FORMATS": "export", "SOURCES": "data"}
# Names of entries that name other things, too: a library, a recipe, a file, a kind of encoder, a word, a key of COCO's
# files; and the default loss.
AMBIGUOUS = {
    "barlow_twins",
    "saved-model",
    "segmentation",
    "linear",
    "transfer",
    "keras",
    "torch",
    "folder",
    "digits",
    "onnx",
    "knn",
    "npy",
    "table",
}


@pytest.mark.parametrize("door", DOORS)
def test_no_other_package_names_an_entry(door):
    """Nothing outside an entry's package and `barlowtf.tables` decides by the name of an entry."""
    names = set(getattr(tables, door)) - AMBIGUOUS
    found = [
        f"{path.relative_to(ROOT.parent)}:{line}: {text!r}"
        for path in [*MODULES, *sorted((ROOT.parent / "cli").glob("*.py"))]
        for text, line in _strings(path)
        if text in names and (ROOT not in path.parents or _room(path) not in (DOORS[door], "tables"))
    ]
    assert not found


def test_subpackages_load_on_first_use():
    assert "losses" in dir(barlowtf)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = barlowtf.nothing
