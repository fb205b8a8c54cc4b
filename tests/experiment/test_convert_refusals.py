"""What `barlowtf convert` refuses, and what stops it: one line, and everything stays as it was."""

import importlib
import os
import resource
import signal
import sys

import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import experiment
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.convert import read_tensors, write_tensors
from barlowtf.errors import BarlowTFError, ConversionError, Interrupted
from barlowtf.models import make_head

# The package offers the function under the module's name.
command = importlib.import_module("barlowtf.experiment.convert")
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("safetensors"),
]


def run(*words):
    return CliRunner().invoke(main, ["convert", *map(str, words)])


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


REFUSED = [
    ("nothing.pth --out made.keras", "No such file or run: nothing.pth"),
    ("encoder.safetensors --out made.pth", "expected a name that ends in .keras."),
    ("encoder.keras --out made.keras", "expected a name that ends in .pth, .pt or .safetensors."),
    ("run --out made", "expected a name that ends in .pth, .pt or .safetensors."),
    ("encoder.safetensors --out no/made.keras", "there is no folder no. Make it, or choose another --out."),
    ("whole.safetensors --out encoder.keras", "encoder.keras is there already and is never overwritten"),
    ("encoder.keras --out encoder.safetensors", "encoder.safetensors is there already"),
    ("whole.safetensors --out taken.keras", "taken.projector.keras is there already"),
    ("encoder.safetensors --out dangling.keras", "dangling.keras is there already"),
    ("encoder.keras --stem half --out made.safetensors", "It is for files of PyTorch; leave it out."),
    (
        "encoder.keras --prefix backbone --out made.safetensors",
        "--prefix: received backbone for encoder.keras. It is for",
    ),
    (
        "whole.safetensors --prefix backbone --out made.keras",
        '"backbone.", with which no tensor starts in whole.safetensors, expected "module.backbone.". The first names: ',
    ),
    ("whole.safetensors --projector projector.keras --out made.keras", "A file of PyTorch holds its own"),
    ("unfinished --out made.safetensors", "has no encoder.keras yet: it is not started. Resume it"),
    ("folder --out made.safetensors", "folder is not a run folder: it holds no recipe.toml"),
    ("projector.keras --out made.safetensors", "received none with a layer conv1"),
    ("head.keras --out made.safetensors", "cannot be written for PyTorch. Invalid model: received the weight"),
    (
        "encoder.keras --projector encoder.keras --out made.safetensors",
        "encoder.keras with the projector encoder.keras cannot be written for PyTorch. Invalid projector",
    ),
    ("cut.keras --out made.safetensors", "Cannot read cut.keras"),
    ("cut.safetensors --out made.keras", "Cannot read cut.safetensors"),
    (
        "misfit.safetensors --out made.keras",
        "2 tensors missing: bn1.bias, projector.1.weight. 1 tensors unknown: module.backbone.more.",
    ),
]


def test_every_refusal_is_one_line_and_leaves_everything_as_it_was(place, monkeypatch):
    monkeypatch.chdir(place)
    (place / "taken.projector.keras").write_bytes(b"mine")
    (place / "dangling.keras").symlink_to("nowhere")
    (place / "unfinished").mkdir()
    (place / "unfinished" / "recipe.toml").write_text(dump_recipe(load_recipe("digits")))
    (place / "folder").mkdir()
    make_head(3, 2).save(place / "head.keras")
    for kind in ("keras", "safetensors"):
        (place / f"cut.{kind}").write_bytes((place / f"encoder.{kind}").read_bytes()[:999])
    misfit = read_tensors("whole.safetensors")
    del misfit["module.backbone.bn1.bias"], misfit["module.projector.1.weight"]
    write_tensors("misfit.safetensors", {**misfit, "module.backbone.more": np.zeros(1)})
    before = contents(place)
    for words, message in REFUSED:
        result = run(*words.split())
        assert result.exit_code == 1, words
        (line,) = [line for line in result.stderr.splitlines() if "taken for the stem" not in line]
        assert line.startswith("Error: ") and message in line
        assert contents(place) == before, words


@pytest.mark.parametrize("file", ["made.pth", "source.pth"])
def test_without_pytorch_the_line_says_what_to_install(place, monkeypatch, file):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.chdir(place)
    (place / "source.pth").write_bytes(b"PK")
    before = contents(place)
    words = ("encoder.keras", "--out", file) if file == "made.pth" else (file, "--out", "made.keras")
    result = run(*words)
    assert result.exit_code == 1
    assert f"{file} needs PyTorch, which is not installed. Run: pip install 'barlowtf[torch]'" in result.stderr
    assert contents(place) == before


def test_a_program_in_the_file_is_named_and_does_not_run(place, torch, monkeypatch):
    monkeypatch.chdir(place)

    class Program:
        def __reduce__(self):
            return os.system, ("touch trace",)

    torch.save({"model": {"conv1.weight": torch.zeros(1), "x": Program()}}, "program.pth")
    before = contents(place)
    result = run("program.pth", "--out", "made.keras")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "GLOBAL posix.system" in result.stderr
    assert contents(place) == before


@pytest.mark.parametrize("source", ["whole.safetensors", "encoder.keras"])
def test_a_full_disk_and_a_signal_leave_nothing(place, monkeypatch, source):
    out = place / ("made.keras" if source == "whole.safetensors" else "made.safetensors")
    before = contents(place)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(ConversionError, match=rf"Cannot write {out}: .* Nothing is kept"):
            experiment.convert(experiment.ConvertRequest(place / source, out))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(place) == before

    replace = os.replace

    def stopped(*paths):
        signal.raise_signal(signal.SIGTERM)
        replace(*paths)

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(Interrupted):
        experiment.convert(experiment.ConvertRequest(place / source, out))
    assert contents(place) == before


@pytest.mark.parametrize(("owner", "moment"), [(command, "compare_with_recorded"), (os, "fsync")])
def test_a_file_that_appears_meanwhile_is_not_overwritten(place, monkeypatch, owner, moment):
    """Before the files are written, and while they are."""
    before = getattr(owner, moment)

    def slow(argument):
        (place / "made.projector.keras").write_bytes(b"mine")
        return before(argument)

    monkeypatch.setattr(owner, moment, slow)
    with pytest.raises(BarlowTFError, match=r"made.projector.keras is there already"):
        experiment.convert(experiment.ConvertRequest(place / "whole.safetensors", place / "made.keras"))
    assert (place / "made.projector.keras").read_bytes() == b"mine"
    assert len(list(place.iterdir())) == 6


@pytest.mark.parametrize("damage", ["bn1.bias", "more"])
def test_what_does_not_read_back_is_not_kept(place, monkeypatch, damage):
    before = contents(place)
    monkeypatch.setattr(command, "read_tensors", lambda path: {**read_tensors(path), damage: np.zeros(4)})
    with pytest.raises(ConversionError, match="did not read back as it was written"):
        experiment.convert(experiment.ConvertRequest(place / "encoder.keras", place / "made.safetensors"))
    assert contents(place) == before
