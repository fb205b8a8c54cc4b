"""Every command of the README runs; its Python runs."""

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
from barlowtf_cli.evaluate import evaluate
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
]
BARLOWTF = [command for command in COMMANDS if command.startswith("barlowtf")]
# The command as it stands, but a run of seconds instead of minutes.
SHORT = "--set train.epochs=2 --set optimizer.warmup_epochs=1 --set train.batch_size=64"
SHORT += " --set model.encoder=resnet10_w0p0625"
SHORT += " --set model.projector=[16,16] --set monitor.knn_every_epochs=2"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the README's commands expect: cifar10/{train,test}/CLASS/*.png and photos/*.jpg."""
    folder = tmp_path_factory.mktemp("readme")
    r = np.random.default_rng(0)
    for split, count in (("train", 32), ("test", 4)):
        for name in ("cat", "dog"):
            (folder / "cifar10" / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(r.integers(0, 256, (32, 32, 3), np.uint8))
                image.save(folder / "cifar10" / split / name / f"{number}.png")
    (folder / "photos").mkdir()
    for number in range(70):
        image = Image.fromarray(r.integers(0, 256, (60, 80, 3), np.uint8))
        image.save(folder / "photos" / f"{number}.jpg")
    return folder


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    "command",
    # Choosing a recipe times several large networks.
    [pytest.param(command, marks=pytest.mark.slow) if "--budget" in command else command for command in BARLOWTF],
)
def test_command_runs(place, monkeypatch, command):
    monkeypatch.chdir(place)
    words = shlex.split(command)[1:]
    if words[0] == "pretrain" and "--dry-run" not in words:
        words += shlex.split(SHORT)
    if words[0] == "evaluate":
        words += ["--set", "linear-fast.penalties=[0.1]"]
        words += ["--set", "semi1.epochs=1"] if "semi1" in words else []
    if words[0] == "export":
        # A head of one epoch knows nothing: its classes change with the last bit.
        words += ["--images", "8", "--accept-loss"]
    if "--seeds" in words:
        # As it stands it is read; fewer seeds are run.
        parent = click.Context(main, **main.context_settings)
        assert evaluate.make_context("evaluate", words[1:], parent=parent).params["seeds"] == (0, 1, 2)
        words += ["--seeds", "0,1"]
    result = CliRunner().invoke(main, words)
    # After seconds on noise the doctor has something to say, with status 1, and that is right.
    ill = words[0] == "doctor" and result.output.startswith("run ")
    assert result.exit_code == 0 or ill, result.output
    if words[0] in ("report", "embed", "predict", "search"):
        assert (place / words[words.index("--out") + 1]).exists()
    if "--run-dir" in words:
        assert (place / words[words.index("--run-dir") + 1] / "encoder.keras").exists()


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    others = [command for command in COMMANDS if command and command not in BARLOWTF]
    for command in others:
        tool, argument = command.split()[:2]
        assert tool == "make"
        assert re.search(rf"^{argument}:", makefile, flags=re.MULTILINE)
    assert "make test" in others


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "encoder.keras").exists()
