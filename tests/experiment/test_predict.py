"""Predictions against the arrays behind them, what is left in place, and what is refused."""

import csv
import dataclasses
import importlib
import json
import os
import re
import shutil
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image

from barlowtf import data, experiment
from barlowtf.encoders.loading import load, load_keras
from barlowtf.errors import BarlowTFError, CheckpointError, ConfigError, DataError, ExportError, Interrupted
from barlowtf.experiment import PredictRequest
from barlowtf.metrics import nearest_neighbors
from barlowtf.models import make_encoder

# The package offers the function under the module's name.
command = importlib.import_module("barlowtf.experiment.predict")
embedding = importlib.import_module("barlowtf.experiment.embed")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def run(thin_run, photographs, evaluate, tmp_path_factory):
    """A run with a head, trained on the photographs."""
    folder = tmp_path_factory.mktemp("predict") / "run"
    shutil.copytree(thin_run, folder)
    overrides = ["linear-fast.penalties=[0.1]"]
    evaluate(folder, None, "linear-fast", source=str(photographs), overrides=overrides)
    return folder


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    """Five images that nobody may write beside: two dark, a broken one, two light."""
    folder = tmp_path_factory.mktemp("predict") / "new"
    folder.mkdir()
    r = np.random.default_rng(1)
    for number, low in enumerate((0, 0, None, 150, 150)):
        if low is None:
            (folder / "2.png").write_bytes(b"no image")
        else:
            Image.fromarray(r.integers(low, low + 100, (12, 9, 3), np.uint8)).save(folder / f"{number}.png")
    folder.chmod(0o555)
    return folder


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def features_of(run, spec):
    encoder, images = load(str(run)), data.open_source(str(spec), "train")
    ids = data.readable_ids(images, np.arange(images.size), channels=1)
    return encoder.features_of(data.center_views(images, ids, size=8, channels=1, batch_size=30)), images


def test_rows_are_those_of_head_and_neighbors(run, new, photographs, tmp_path):
    out = tmp_path / "rows.csv"
    words = ["predict", "--encoder", str(run), "--head", "linear-fast", "--data", str(new), "--out", str(out)]
    result = CliRunner().invoke(main, [*words, "--top", "2", "--neighbors", "3"])
    assert result.exit_code == 0, result.output
    assert "unreadable  1, for example" in result.stdout
    rows = read_csv(out)
    assert [row["id"] for row in rows] == list("01234")
    assert all(rows[2][name] == "" for name in rows[2] if name not in ("id", "path", "error"))
    assert rows[2]["error"]
    readable = [rows[place] for place in (0, 1, 3, 4)]
    assert [row["error"] for row in readable] == [""] * 4

    queries, _ = features_of(run, new)
    bank, known = features_of(run, photographs)
    logits = load_keras(next((run / "results").glob("linear-fast-*/head.keras")))(queries).numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = known.class_names
    assert [row["label"] for row in readable] == [names[label] for label in logits.argmax(axis=1)]
    np.testing.assert_allclose([float(row["probability"]) for row in readable], expected.max(axis=1), rtol=1e-3)
    np.testing.assert_allclose([float(row["probability_2"]) for row in readable], expected.min(axis=1), rtol=1e-3)
    similarity, index = nearest_neighbors(bank, queries, neighbors=11)
    for place in range(3):
        assert [row[f"neighbor_{place + 1}"] for row in readable] == [known.identify(i) for i in index[:, place]]
        found = [float(row[f"neighbor_{place + 1}_distance"]) for row in readable]
        np.testing.assert_allclose(found, 1 - similarity[:, place], atol=1e-5)
    own, far = (
        np.sort(np.linalg.norm(bank[None] - some[:, None], axis=2), axis=1)[:, place]
        for some, place in ((bank, 10), (queries, 9))
    )
    expected = [np.mean(own < distance) for distance in far]
    np.testing.assert_allclose([float(row["novelty"]) for row in readable], expected, atol=1 / 24)

    record = json.loads((tmp_path / "rows.csv.json").read_text())
    assert (record["rows"], record["unreadable"], record["labeled_by"]) == (5, 1, "head")
    assert sum(record["labels"].values()) == 4
    # Nothing is left beside the file, and the training images are embedded once.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "rows.csv.json", "rows.csv.skipped.jsonl"]
    (kept,) = (run / "features").iterdir()
    assert record["bank"]["folder"] == str(kept)
    assert len(list(new.iterdir())) == 5


def test_formats_hold_the_same(run, new, photographs, tmp_path):
    experiment.embed(experiment.EmbedRequest(str(run), str(photographs), tmp_path / "bank"))
    request = PredictRequest(str(run), str(new), tmp_path / "a.csv", neighbors=1, features=tmp_path / "bank")
    for ending in ("csv", "parquet", "jsonl"):
        record = experiment.predict(dataclasses.replace(request, out=tmp_path / f"a.{ending}"))
        # Without a head the neighbors vote.
        assert (record.labeled_by, record.voters, record.class_names) == ("neighbors", 20, ("dark", "light"))
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [list(row) for row in table] == [list(record.columns)] * 5
    for row, line, cells in zip(table, lines, read_csv(tmp_path / "a.csv"), strict=True):
        for name, value in row.items():
            if isinstance(value, float):
                assert line[name] == pytest.approx(value) == pytest.approx(float(cells[name]))
            else:
                assert line[name] == value
                assert cells[name] == ("" if value is None else str(value))
    assert [row["label"] for row in table] == ["dark", "dark", None, "light", "light"]


@pytest.mark.slow
def test_a_bank_of_features_without_labels(run, new, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number in range(4):
        Image.fromarray(np.full((8, 8), 60 * number, np.uint8)).save(flat / f"{number}.png")
    experiment.embed(experiment.EmbedRequest(str(run), str(flat), tmp_path / "bank", file_format="npy"))
    request = PredictRequest(str(run), str(new), tmp_path / "a.jsonl", features=tmp_path / "bank", neighbors=9)
    record = experiment.predict(request)
    assert (record.labels, record.labeled_by, record.bank.novelty_neighbors) == (None, None, 3)
    assert "label" not in record.columns
    assert record.columns[-3:] == ("neighbor_4", "neighbor_4_distance", "error")


def test_a_stopped_call_goes_on(run, new, tmp_path, monkeypatch):
    write, request = command._write, PredictRequest(str(run), str(new), tmp_path / "a.csv", neighbors=1)

    def stopped(*arguments):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(command, "_write", stopped)
    with pytest.raises(Interrupted, match="SIGTERM"):
        experiment.predict(request)
    assert not (tmp_path / "a.csv").exists()
    monkeypatch.setattr(command, "_write", write)
    # Nothing is computed again.
    monkeypatch.setattr(embedding, "readable_features", None)
    assert experiment.predict(request).rows == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.csv.json", "a.csv.skipped.jsonl"]


@pytest.mark.slow
def test_training_images_that_are_gone(run, photographs, new, tmp_path):
    """With a head the labels are given all the same; where neighbors are asked for, it is an error."""
    moved = tmp_path / "run"
    shutil.copytree(run, moved, ignore=shutil.ignore_patterns("features"))
    file = next((moved / "results").glob("linear-fast-*.json"))
    file.write_text(file.read_text().replace(json.dumps(str(photographs)), '"gone"'))
    record = experiment.predict(PredictRequest(str(moved), str(new), tmp_path / "a.csv", head="linear-fast"))
    assert record.bank is None
    assert "gone" in record.no_bank
    assert record.columns == ("id", "path", "label", "probability", "error")
    with pytest.raises(DataError, match="No training images to compare with.*gone.*with --in"):
        experiment.predict(PredictRequest(str(moved), str(new), tmp_path / "b.csv", head="linear-fast", neighbors=2))
    assert experiment.predict(
        PredictRequest(str(moved), str(new), tmp_path / "a.csv", head="linear-fast", neighbors=0)
    ).no_bank


def test_a_run_that_cannot_keep_features_says_where_they_can_be(run, photographs, new, tmp_path):
    moved = tmp_path / "run"
    shutil.copytree(run, moved, ignore=shutil.ignore_patterns("features"))
    # Like a folder that may not be written, also for root.
    (moved / "features").write_text("")
    with pytest.raises(CheckpointError) as error:
        experiment.predict(PredictRequest(str(moved), str(new), tmp_path / "a.csv"))
    assert re.match(
        rf"Cannot keep the features of the training images in {moved}/features/\w+: Not a directory\. Write them "
        rf"elsewhere, barlowtf embed --encoder {moved} --data digits --out FEATURES, and add --in FEATURES\.$",
        str(error.value),
    )


def test_one_image_file(run, new, photographs, tmp_path):
    out = tmp_path / "a.csv"
    words = ["--encoder", str(run), "--data", str(new / "0.png"), "--out"]
    result = CliRunner().invoke(main, ["predict", *words, str(out), "--head", "linear-fast", "--neighbors", "0"])
    assert result.exit_code == 0, result.output
    assert [(row["id"], row["path"], row["error"]) for row in read_csv(out)] == [("0", str(new / "0.png"), "")]
    result = CliRunner().invoke(main, ["embed", *words, str(tmp_path / "features")])
    assert (result.exit_code, "features    1 of width" in result.stdout) == (0, True), result.output
    refused = CliRunner().invoke(main, ["evaluate", *words[:-1]])
    assert "it is one image, expected a folder that holds" in refused.stderr
    assert "Give the folder that it lies in" in refused.stderr


def test_what_is_refused(run, thin_run, new, tmp_path):
    def message(kind, spec=new, encoder=run, out="a.csv", **options):
        with pytest.raises(kind) as error:
            experiment.predict(PredictRequest(str(encoder), str(spec), tmp_path / out, **options))
        return str(error.value)

    assert "expected a name ending in .csv, .parquet, .jsonl" in message(ConfigError, out="a.txt")
    assert "there is no folder" in message(ConfigError, out="none/a.csv")
    assert "Nothing to predict" in message(ConfigError, neighbors=0)
    assert "received 3, expected at most the 2 classes" in message(ConfigError, head="linear-fast", top=3)
    # A head of another encoder, and features of another one.
    other = tmp_path / "other"
    shutil.copytree(thin_run, other)
    make_encoder("resnet10_w0p0625", image_shape=(8, 8, 1), seed=6).save(other / "encoder.keras")
    head = next((run / "results").glob("linear-fast-*.json"))
    assert "belongs to another encoder" in message(ExportError, encoder=other, head=str(head))
    experiment.embed(experiment.EmbedRequest(str(other), "digits", tmp_path / "bank", split="test"))
    assert "belong to another encoder" in message(BarlowTFError, features=tmp_path / "bank")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"no image")
    assert "all 1 are unreadable" in message(DataError, broken, neighbors=1)
    assert [name for name in os.listdir(tmp_path) if name.startswith((".a", "a."))] == []
