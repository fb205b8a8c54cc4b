"""Every command as a real process: stopped by signals, and with a disk that takes nothing."""

import itertools
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from barlowtf import runs
from tests.forking import forks

pytestmark = pytest.mark.slow

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 143}
# Bytes that a file may have: none of those that a command writes has so few.
LITTLE = 100
RUN = [
    *("pretrain", "--config", "digits", "--set", "train.epochs=2", "--set", "train.batch_size=256"),
    *("--set", "model.encoder=resnet10_w0p0625", "--set", "model.projector=[16]", "--set", "augment.size=8"),
    *(
        "--set",
        "optimizer.warmup_epochs=0",
        "--set",
        "monitor.knn_every_epochs=none",
        "--set",
        "monitor.collapse_every_epochs=none",
    ),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with some photographs, and what the commands need of each other."""
    folder = tmp_path_factory.mktemp("faults")
    r = np.random.default_rng(0)
    for split, label, number in itertools.product(("train", "val"), (0, 150), range(4)):
        file = folder / "photos" / split / f"class{label}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(r.integers(label, label + 100, (12, 12, 3), np.uint8)).save(file)
    return folder


@pytest.fixture(scope="module")
def program(place, tmp_path_factory):
    """Starts calls; a finished run and its features are there."""
    with forks(tmp_path_factory.mktemp("output")) as program:
        for words in ([*RUN, "--run-dir", "run"], ["embed", "--encoder", "run", "--data", "digits", "--out", "bank"]):
            status, _, errors = program.run(*words, folder=place)
            assert status == 0, errors
        yield program


# Words of each command, and what it writes, both with NEW for a name of its own.
COMMANDS = {
    "pretrain": ([*RUN, "--run-dir", "NEW"], "NEW/encoder.keras"),
    "evaluate": (
        [*("evaluate", "--protocol", "knn", "--encoder", "run", "--data", "photos", "--out", "NEW")],
        "NEW/table.md",
    ),
    "embed": (["embed", "--encoder", "run", "--data", "photos", "--out", "NEW"], "NEW/_embed.json"),
    "embed npy": (
        ["embed", "--encoder", "run", "--data", "photos", "--format", "npy", "--out", "NEW"],
        "NEW/features.npy",
    ),
    "predict": (["predict", "--encoder", "run", "--data", "photos", "--in", "bank", "--out", "NEW.csv"], "NEW.csv"),
    "search": (["search", "--id", "3", "--in", "bank", "--out", "NEW.html"], "NEW.html"),
    "report": (["report", "run", "--out", "NEW.html"], "NEW.html"),
    "export": (["export", "--encoder", "run", "--format", "keras", "--out", "NEW"], "NEW"),
    "convert": (["convert", "run", "--out", "NEW.safetensors"], "NEW.safetensors"),
    "data pack": (["data", "pack", "--data", "photos", "--out", "NEW", "--shards", "1"], "NEW-00000-of-00001.tfrecord"),
}


def leftovers(folder):
    return [path for path in folder.rglob("*") if ".writing-" in path.name or path.name.startswith("tmp")]


def processor_seconds(process):
    """Returns how long a process has run, on a processor; None where it has ended."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK")


def named(words, name):
    return [word.replace("NEW", name) for word in words]


@pytest.mark.parametrize(("command", "number"), list(zip(COMMANDS, itertools.cycle(SIGNALS), strict=False)))
def test_faults_leave_nothing_behind_and_the_next_call_goes_on(place, program, command, number):
    """First a disk that takes nothing, then a signal wherever it comes, then nothing in the way."""
    if command == "convert":
        pytest.importorskip("safetensors")
    name = command.replace(" ", "-")
    words = [word.replace("NEW", name) for word in COMMANDS[command][0]]
    result = place / COMMANDS[command][1].replace("NEW", name)

    # What RLIMIT_FSIZE does is what a full disk does: a write fails in the middle of a file.
    status, _, errors = program.run(*words, folder=place, file_bytes=LITTLE)
    assert status == 1, errors
    (line,) = (line for line in errors.splitlines() if line.startswith("Error:"))
    assert name in line or str(place) in line
    assert "File too large" in line
    assert "Traceback" not in errors
    assert leftovers(place) == []

    call = program.start(*words, folder=place)
    moment = random.uniform(0.0, 4.0)
    while (seconds := processor_seconds(call.process)) is not None and seconds < moment:
        time.sleep(0.01)
    call.send(number)
    status, _, errors = program.wait(call)
    # Where it has done its work before the signal came, it may say so.
    assert status == SIGNALS[number] or (status == 0 and result.exists()), errors
    assert "Traceback" not in errors
    assert "Exception" not in errors
    assert leftovers(place) == []
    run = runs.RunFolder(result.parent)
    if status and run.info.exists() and result.parent != place:
        assert run.read_info().status == "interrupted"
    if not status:
        return

    status, _, errors = program.run(*words, folder=place)
    assert status == 0, errors
    assert result.exists()
