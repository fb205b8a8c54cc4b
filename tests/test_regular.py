"""Pipes, devices and sockets are never opened, wherever somebody names or puts one."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest
import tensorflow as tf
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import atomic, runs
from barlowtf.config import load_recipe
from barlowtf.data import listed_ids, open_source
from barlowtf.doors import load_own
from barlowtf.encoders import load
from barlowtf.encoders.feature_folder import open_features
from barlowtf.errors import BarlowTFError, CheckpointError, ConfigError
from barlowtf.models import checkpoint
from barlowtf.records import RunInfo, read_lines, read_record
from barlowtf.regular import require_regular, require_regular_below


class Pipes:
    """Makes pipes, and notes which of them a reader opens; the reader finds nothing in it, and does not wait."""

    def __init__(self):
        self.opened, self._made = [], []

    def make(self, path):
        """Returns the path of a new pipe."""
        os.mkfifo(path)
        thread = threading.Thread(target=self._wait, args=(path,), daemon=True)
        thread.start()
        self._made.append((path, thread))
        return path

    def _wait(self, path):
        descriptor = os.open(path, os.O_WRONLY)
        self.opened.append(path)
        os.close(descriptor)

    def close(self):
        for path, thread in self._made:
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            thread.join()
            os.close(reader)


@pytest.fixture
def pipe():
    """Function path -> path of a new pipe that nobody has opened when the test ends."""
    pipes = Pipes()
    yield pipes.make
    opened = list(pipes.opened)
    pipes.close()
    assert opened == []


def test_kinds_are_named(tmp_path, pipe):
    pipe(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for place, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path / "socket", "a socket"), (os.devnull, "a device")):
            with pytest.raises(OSError, match=f"it is {kind}, expected a file"):
                require_regular(place)
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe"):
        require_regular(tmp_path / "link")
    with pytest.raises(FileNotFoundError):
        require_regular(tmp_path / "missing")
    require_regular(tmp_path)
    require_regular(__file__)
    with pytest.raises(OSError, match="it is a"):
        require_regular_below(tmp_path.parent)


# What opens a path that is a pipe.
READERS = {
    "recipe": lambda path: load_recipe(path),
    "record": lambda path: read_record(path, RunInfo),
    "lines": read_lines,
    "table": lambda path: open_source(f"table:{path}", "train"),
    "records": lambda path: open_source(f"tfrecord:{path}", "train"),
    "array": lambda path: open_source(f"npy:{path}", "train"),
    "folder": lambda path: open_source(str(path), "train"),
    "encoder": lambda path: load(str(path)),
    "own entry": lambda path: load_own(f"{path}:name", "source"),
    "class list": lambda path: listed_ids(open_source("digits", "train"), path),
}
ENDINGS = {"recipe": ".toml", "encoder": ".keras", "own entry": ".py", "array": ".npy", "table": ".csv"}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_opens_a_pipe(tmp_path, pipe, reader):
    path = pipe(tmp_path / f"given{ENDINGS.get(reader, '')}")
    with pytest.raises(BarlowTFError, match="a pipe|there is no file"):
        READERS[reader](path)


def test_pipes_in_folders_of_somebody_else(tmp_path, pipe):
    run = tmp_path / "run"
    (run / "checkpoints" / "step-1").mkdir(parents=True)
    pipe(run / "checkpoints" / "step-1" / "manifest.json")
    assert "it is a pipe" in checkpoint.find_fault(run / "checkpoints" / "step-1")
    for name in ("recipe.toml", "encoder.keras", ".lock"):
        pipe(run / name)
    for use in (load, lambda path: runs.open_run(path, load_recipe("digits"))):
        with pytest.raises(BarlowTFError, match="it is a pipe"):
            use(str(run))
    with pytest.raises(CheckpointError, match="no file"), runs.locked(run):
        pass
    features = tmp_path / "features"
    features.mkdir()
    pipe(features / "_embed.json")
    with pytest.raises(CheckpointError, match="holds no features"):
        open_features(features)
    model = tmp_path / "model"
    (model / "variables").mkdir(parents=True)
    tf.saved_model.save(tf.Module(), str(model))
    pipe(model / "variables" / "more")
    with pytest.raises(CheckpointError, match="it is a pipe"):
        load(str(model))


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "--data", "PIPE"],
        ["pretrain", "--config", "PIPE"],
        ["pretrain", "--config", "digits", "--init", "PIPE"],
        ["pretrain", "--config", "digits", "--labels", "PIPE"],
        ["pretrain", "--extend", "PIPE"],
        ["recipe", "--data", "PIPE"],
        ["evaluate", "--protocol", "knn", "--encoder", "PIPE"],
        ["embed", "--encoder", "PIPE", "--data", "digits", "--out", "x"],
        ["predict", "--encoder", "PIPE", "--data", "digits", "--out", "x.csv"],
        ["search", "PIPE", "--in", "x"],
        ["search", "--id", "1", "--in", "PIPE"],
        ["drift", "PIPE", "x"],
        ["report", "PIPE"],
        ["export", "--encoder", "PIPE"],
        ["convert", "PIPE", "--out", "x.keras"],
        ["doctor", "PIPE"],
        ["data", "show", "PIPE"],
        ["data", "check", "PIPE"],
        ["data", "pack", "PIPE", "--out", "x"],
    ],
    ids=" ".join,
)
def test_no_command_opens_a_pipe(tmp_path, monkeypatch, pipe, words):
    monkeypatch.chdir(tmp_path)
    pipe(Path("given"))
    result = CliRunner().invoke(main, [word.replace("PIPE", "given") for word in words])
    assert result.exit_code in (1, 2), result.output
    assert "Error: " in result.stderr


def test_a_device_is_not_replaced_by_a_file():
    with pytest.raises(OSError, match="it is a device, expected a file"):
        atomic.write_file(Path(os.devnull), "x")
    assert not Path(os.devnull).is_file()


def test_a_recipe_of_a_million_keys_is_refused_before_it_is_parsed(tmp_path):
    file = tmp_path / "large.toml"
    file.write_text("".join(f"key{number} = 1\n" for number in range(10**6)))
    started = time.process_time()
    with pytest.raises(ConfigError, match="received 13,888,890 bytes, expected at most 200,000"):
        load_recipe(file)
    assert time.process_time() - started < 1.0
    # Of as many as are read, too.
    file.write_text("".join(f"k{number}=1\n" for number in range(20_000)))
    with pytest.raises(ConfigError, match="Unknown setting"):
        load_recipe(file)
    assert time.process_time() - started < 10.0
