"""Command lines made at random, by seeds that are kept: each reaches its job, or one line says what is wrong.

The jobs themselves are stubs here: what is tested is everything between the shell and them.
"""

import os
import random
import re
from pathlib import Path

import click
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image

from barlowtf import experiment
from barlowtf.errors import BarlowTFError
from tests.cli.test_main import commands

JOBS = (
    *("choose_recipe", "convert", "describe_data", "check_data", "pack_data", "diagnose", "drift"),
    *("embed", "evaluate", "export", "extended_recipe", "plan", "predict", "pretrain", "report", "search"),
    *("ablate", "tune"),
)
# Starts processes of its own.
LEFT_OUT = ("launch",)
VALUES = (
    *("", " ", "0", "-1", "1", "2", "1e9", "nan", "inf", "-inf", "1_000", "0x10", "9" * 400, "1,2,3", "0,,1", "true"),
    *("digits", "photos", "photos/", "./photos", "pipe", "empty", "loop", "dangling", "nothing", "~nobody/photos"),
    *("file.toml", "file.json", "file.keras", "file.npy", "file.csv", "/", ".", "..", "~", "x" * 300, "a/" * 3000),
    *("\U0001f600", "\udce9", "new\nline", "\x1b[31mred", "-", "--", "--json", "=", "a.b.c=1", "=3", "train=3"),
    *("train.epochs=3", "train.epoch=3", "train.epochs=", "train.epochs=nan", "model.encoder=os:system", "30m", "8x"),
    *("data.source=photos", "tfds:", "tfds:mnist", "tfrecord:", "tfrecord:*", "npy:", "npy:file.npy", "table:"),
    *("table:file.csv", "os:system", "file.py:x", "random", "pixels", "keras:", "keras:MobileNetV3Small", "linaer"),
    *(
        "knn",
        "linear",
        "saved-model",
        "train",
        "test",
        "one",
        "mirrored",
        "tpu",
        "int8",
        "csv",
        "imagenet",
        "word " * 999,
    ),
    *("cifar10-cpu", "results/knn.json"),
)
PLAUSIBLE = {"source": "photos", "encoder": "random", "encoders": "random", "out": "out", "features": "photos"}
PLAUSIBLE |= {"reference": "photos", "new": "photos"}


def prepare(folder, monkeypatch):
    """Makes a folder with what a user may point at the working directory, and stubs of the jobs."""
    monkeypatch.chdir(folder)
    for job in JOBS:
        assert hasattr(experiment, job)
        monkeypatch.setattr(experiment, job, reached)
    (folder / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "photos" / "a.png")
    os.mkfifo(folder / "pipe")
    for name in ("empty", "file.toml", "file.json", "file.keras", "file.npy", "file.csv", "file.py"):
        (folder / name).touch()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")


class Reached(BarlowTFError):
    """The command line has been understood."""


def reached(*arguments, **options):
    raise Reached("reached")


def line_of(path, command, numbers):
    """Returns the words of a command line: options of the command, some mistaken, some given twice."""
    words = list(path[1:])
    for option in command.params:
        if option.required and numbers.random() < 0.8:
            value = PLAUSIBLE.get(option.name, "1")
            words += [value] if isinstance(option, click.Argument) else [option.opts[0], value]
    for _ in range(numbers.choice([0, 1, 1, 2, 2, 3, 6])):
        option = numbers.choice([parameter for parameter in command.params if parameter.name != "help"])
        value = numbers.choice(VALUES)
        if isinstance(option, click.Argument) or numbers.random() < 0.05:
            words.append(value)
            continue
        name = numbers.choice(option.opts)
        if numbers.random() < 0.1:
            name = name[:-1] + numbers.choice(["", "x", name[-1] * 2])
        words += [name] if option.is_flag else numbers.choice([[name, value], [f"{name}={value}"]])
    return words


def try_lines(seed, count):
    """Tries command lines; returns how often each exit status came, how many reached a job, and the longest error."""
    numbers, outcomes = random.Random(seed), {0: 0, 1: 0, 2: 0}
    known = [(path, command) for path, command in commands() if not isinstance(command, click.Group)]
    known = [(path, command) for path, command in known if path[-1] not in LEFT_OUT]
    before = sorted(Path.cwd().iterdir())
    arrived, longest = 0, 0
    for _ in range(count):
        words = line_of(*numbers.choice(known), numbers)
        ended = CliRunner().invoke(main, words)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), (words, ended.exc_info)
        outcomes[ended.exit_code] += 1
        arrived += "Error: reached" in ended.stderr
        errors = re.findall(r"^Error: .*", ended.stderr, re.MULTILINE)
        assert len(errors) == (ended.exit_code != 0), (words, ended.stderr)
        assert all(len(error) < 500 and error.isprintable() for error in errors), (words, errors)
        longest = max([longest, *map(len, errors)])
    assert sorted(Path.cwd().iterdir()) == before
    return outcomes, arrived, longest


@pytest.mark.parametrize("seed", range(2))
def test_each_command_line_reaches_its_job_or_is_one_line(tmp_path, monkeypatch, seed):
    prepare(tmp_path, monkeypatch)
    outcomes, arrived, _ = try_lines(seed, 400)
    assert min(outcomes[1], outcomes[2]) > 80 and arrived > 50
