"""The floors of the design, and names that must not drift."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import barlowtf

ROOT = Path(barlowtf.__file__).parent
# A module imports only from floors below its own; packages on one floor do not import each other.
FLOORS = [
    {"errors", "atomic"},
    {"config", "records", "runs", "launching", "doors", "tables"},
    {"distribute"},
    {"losses", "metrics", "optim"},
    {"augment"},
    {"data", "models"},
    {"convert"},
    {"encoders"},
    {"train", "evaluation", "export", "report"},
    {"experiment"},
    {"__main__"},
]
# runs.py reads and writes the recipes of config/ and the records of records/: all are files on disk.
ALLOWED_BESIDE = {("runs", "config"), ("runs", "records"), ("tables", "doors")}
WITHOUT_TENSORFLOW = {"errors", "atomic", "config", "records", "runs", "launching", "doors", "tables"}


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


def test_exported_names():
    expected = {
        "barlowtf.losses": ["LossTerms", "barlow_twins_loss"],
        "barlowtf.optim": ["LAMB", "LARS", "WarmupCosine", "make_optimizer"],
        "barlowtf.models": ["BarlowTwins", "Probe", "make_encoder", "make_head", "make_projector"],
        "barlowtf.convert": ["load_torch_weights"],
        "barlowtf.evaluation": ["evaluate_voc_svm", "fit_logistic", "results_table"],
        "barlowtf.augment": [
            "TwoViews",
            "adjust_brightness",
            "adjust_contrast",
            "adjust_hue",
            "adjust_saturation",
            "flip",
            "gaussian_blur",
            "grayscale",
            "random_resized_crop",
            "solarize",
        ],
    }
    for module, names in expected.items():
        package = getattr(barlowtf, module.partition(".")[2])
        missing = [name for name in names if name not in package.__all__ or not hasattr(package, name)]
        assert not missing, f"{module}: {missing}"
    assert "losses" in dir(barlowtf)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = barlowtf.nothing
