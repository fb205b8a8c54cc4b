"""Every command of docs/extending.md runs in a user's folder, with the files of the page beside it."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from tests.examples import example

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
# The command as it stands, but a run of seconds.
SHORT = "--set train.epochs=1 --set optimizer.warmup_epochs=0 --set augment.size=8 --set model.projector=[16,16]"
SHORT += " --set monitor.knn_every_epochs=none"


@pytest.mark.slow
def test_commands_run_in_a_folder_outside_the_package(tmp_path, monkeypatch):
    for name in re.findall(r"```python\n# (\S+)\n", PAGE):
        (tmp_path / name).write_text(example(name))
    r = np.random.default_rng(0)
    (tmp_path / "photos" / "train").mkdir(parents=True)
    for number in range(16):
        image = r.integers(0, 256, (12, 10, 3), np.uint8)
        np.save(tmp_path / "photos" / "train" / f"{('ant', 'bee')[number % 2]}_{number}.npy", image)
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) == 8
    for command in COMMANDS:
        program, *words = shlex.split(command)
        assert program == "barlowtf"
        if words[0] == "pretrain":
            words += shlex.split(SHORT) + ["--set", f"train.batch_size={8 if 'my_source' in command else 479}"]
            if "model.encoder" not in command:
                words += ["--set", "model.encoder=resnet10_w0p0625"]
        if words[0] == "export":
            words += ["--images", "8"]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, f"{command}: {result.output}"
    assert (tmp_path / "exports" / "mine" / "1" / "weights.npz").exists()
