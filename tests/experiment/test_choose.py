"""A recipe for images that nobody has written one for: budget, ladder, memory, command."""

import json
import shutil
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image

from barlowtf import choosing
from barlowtf.config import load_recipe
from barlowtf.errors import ConfigError
from barlowtf.experiment import ChooseRequest, choose, choose_recipe


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twenty photographs, as far as rules can see: a bright upper half."""
    folder = tmp_path_factory.mktemp("choose") / "photos"
    folder.mkdir()
    r = np.random.default_rng(0)
    for number in range(20):
        pixels = r.integers(0, 100, (140, 180, 3), np.uint8)
        pixels[:70] += 100
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture
def timed(monkeypatch):
    """Steps that take as long as a test wants; returns which were timed."""
    taken, seconds = [], {}

    def time_step(recipe, source, strategy, steps_per_epoch):
        taken.append((recipe.model.encoder, recipe.augment.size))
        return seconds.get(recipe.augment.size, 0.01)

    monkeypatch.setattr(choose, "time_step", time_step)
    return taken, seconds


def test_the_first_rung_that_sees_enough_is_taken(photos, timed):
    taken, seconds = timed
    seconds.update({128: 3.0, 96: 0.1})
    chosen = choose_recipe(ChooseRequest(str(photos), budget="1h"))
    assert taken == [("resnet18", 128), ("resnet10", 96)]
    assert (chosen.recipe.model.encoder, chosen.recipe.augment.size) == ("resnet10", 96)
    assert len(chosen.left_out) == 1 and "resnet18" in chosen.left_out[0] and "1 h" in chosen.left_out[0]
    # 3,570 s, of which 93 % are for steps of 0.1 s, one per epoch.
    steps_per_epoch = 20 // chosen.recipe.train.batch_size
    assert chosen.recipe.train.epochs == int(0.93 * 3570 / 0.1 / steps_per_epoch)
    assert chosen.seconds <= 3600


def test_the_last_rung_is_taken_however_little_it_sees(photos, timed):
    taken, seconds = timed
    seconds.update({128: 90.0, 96: 60.0, 64: 40.0})
    chosen = choose_recipe(ChooseRequest(str(photos), budget="40s"))
    assert len(taken) == 3 and chosen.recipe.augment.size == 64
    assert chosen.recipe.train.epochs == 1
    assert "not even one fits into 40 s" in chosen.choices["epochs"].reason


def test_a_rung_that_is_hardly_cheaper_is_not_taken(photos, timed):
    taken, seconds = timed
    # The first would see 83 % of what is enough and the second all of it, for a time that noise could explain.
    seconds.update({128: 0.4, 96: 0.33, 64: 0.01})
    chosen = choose_recipe(ChooseRequest(str(photos), budget="1h"))
    assert (chosen.recipe.model.encoder, chosen.recipe.augment.size) == ("resnet18", 128)
    assert taken == [("resnet18", 128), ("resnet10", 96)]
    assert chosen.left_out == ()


def test_given_settings_are_taken_as_given(photos, timed):
    taken, _ = timed
    overrides = ("train.epochs=3", "train.batch_size=10", "augment.size=32", 'model.encoder="resnet10_w0p25"')
    chosen = choose_recipe(ChooseRequest(str(photos), overrides))
    assert taken == [("resnet10_w0p25", 32)]
    assert (chosen.recipe.train.epochs, chosen.recipe.train.batch_size) == (3, 10)
    assert chosen.choices["epochs"].reason.startswith("given")


def test_a_step_that_is_too_large_is_cut(photos, timed, monkeypatch):
    machine = replace(choosing.describe_machine(), gpus=0, gpu_memory=None, memory=200 * 10**6)
    monkeypatch.setattr(choosing, "describe_machine", lambda: machine)
    chosen = choose_recipe(ChooseRequest(str(photos), ("augment.size=128", 'model.encoder="resnet10"')))
    assert chosen.recipe.train.micro_batch is not None
    assert chosen.recipe.train.batch_size % chosen.recipe.train.micro_batch == 0
    assert "at a time" in chosen.choices["batch"].text


def test_commands_show_the_choice_and_its_recipe_loads(photos, timed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["recipe", "--data", str(photos), "--budget", "10m", "--epochs", "4"])
    assert result.exit_code == 0, result.output
    (tmp_path / "mine.toml").write_text(result.stdout)
    assert tomllib.loads(result.stdout)["train"]["epochs"] == 4
    assert load_recipe("mine.toml").data.source == str(photos)
    for part in ("images", "machine", *(rule.name for rule in choosing.RULES), "epochs", "time"):
        assert any(line.startswith(f"{part} ") for line in result.stderr.splitlines()), part
    assert len(result.stderr.splitlines()) <= 40
    assert max(map(len, result.stderr.splitlines())) <= 120
    shown = CliRunner().invoke(main, ["pretrain", "--data", str(photos), "--dry-run", "--json", "--image-size", "64"])
    planned = json.loads(shown.stdout)
    assert planned["recipe"]["augment"]["size"] == 64
    found = json.loads(CliRunner().invoke(main, ["recipe", "--data", str(photos), "--json"]).stdout)
    assert found["recipe"]["data"]["source"] == str(photos)
    for choices in (planned["choices"], found["choices"]):
        assert {"images", "machine", "epochs", "time"} < {choice["name"] for choice in choices}
    listed = CliRunner().invoke(main, ["recipe", "--list"]).stdout
    assert "digits " in listed and "cifar10-cpu " in listed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.toml"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_folder_of_photographs_is_trained_and_resumed_without_a_recipe(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["pretrain", "--data", str(photos), "--budget", "1m", "--epochs", "2", "--encoder", "resnet10_w0p0625"]
    result = CliRunner().invoke(main, [*words, "--image-size", "32"])
    assert result.exit_code == 0, result.output
    run = tmp_path / "runs" / "photos"
    assert (run / "encoder.keras").exists()
    recipe = load_recipe(run / "recipe.toml")
    assert (recipe.train.epochs, recipe.augment.size, recipe.data.channels) == (2, 32, 3)
    again = CliRunner().invoke(main, ["pretrain", "--data", str(photos)])
    assert again.exit_code == 0, again.output
    assert "chosen when the run began" in again.stderr
    # The saved recipe repeats the run bit for bit.
    other = ["pretrain", "--config", str(run / "recipe.toml"), "--run-dir", "other"]
    assert CliRunner().invoke(main, other).exit_code == 0
    first, second = ((tmp_path / folder / "metrics.jsonl").read_text() for folder in ("runs/photos", "other"))
    losses = [[json.loads(line).get("loss") for line in text.splitlines()] for text in (first, second)]
    assert losses[0] == losses[1] and any(loss is not None for loss in losses[0])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optimizer.lr=0.1", r"Did you mean 'optimizer\.learning_rate'"),
        ("train.epochs=soon", r"Invalid train\.epochs: received 'soon'"),
        ("loss.lambada=1", r"Did you mean 'loss\.lambd'"),
        ("loss.name=barlow", "Unknown loss: received 'barlow'"),
    ],
)
def test_settings_are_checked_before_an_image_is_read(photos, monkeypatch, setting, words):
    def fail(*_):
        raise AssertionError("an image was read")

    monkeypatch.setattr(choose, "open_split", fail)
    with pytest.raises(ConfigError, match=words):
        choose_recipe(ChooseRequest(str(photos), [setting]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_what_cannot_be_read_is_named_once_by_timing_and_training(photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "7.jpg").write_bytes(b"<html>")
    short = ["--epochs", "1", "--image-size", "16", "--encoder", "resnet10_w0p0625", "--set", "model.projector=[16]"]
    words = ["--data", str(folder), "--run-dir", str(tmp_path / "run"), *short]
    result = CliRunner().invoke(main, ["pretrain", *words, "--set", "train.batch_size=8"])
    assert result.exit_code == 0
    assert "1 of 20 sampled unreadable" in result.stderr
    assert result.stderr.count("Unreadable image") == 1
