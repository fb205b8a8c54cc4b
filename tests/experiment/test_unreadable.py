"""One image that cannot be read stops no command: photographs with broken files, through everything that reads them."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import experiment
from barlowtf.config import load_recipe
from barlowtf.errors import DataError
from barlowtf.records import read_lines
from barlowtf.train import callbacks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = [
    "augment.size=8",
    "data.channels=3",
    "data.max_unreadable=3",
    "augment.mean=[0.5]",
    "augment.std=[0.25]",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "train.batch_size=8",
    "train.epochs=2",
    "optimizer.warmup_epochs=1",
    "monitor.knn_every_epochs=1",
    "monitor.knn_neighbors=3",
    "monitor.probe=true",
    "checkpoint.every_minutes=none",
]


@pytest.fixture(scope="module")
def photos(photographs, tmp_path_factory):
    """Two of 24 training images and one of 8 test images cannot be read."""
    folder = tmp_path_factory.mktemp("broken") / "photos"
    shutil.copytree(photographs, folder)
    (folder / "train" / "dark" / "3.png").write_bytes(b"no image")
    whole = (folder / "train" / "light" / "5.png").read_bytes()
    (folder / "train" / "light" / "5.png").write_bytes(whole[: len(whole) // 2])
    (folder / "val" / "dark" / "2.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    recipe = load_recipe("digits", [*SMALL, f"data.source={json.dumps(str(photos))}"])
    info = experiment.pretrain(experiment.PretrainRequest(recipe, folder))
    assert info.status == "finished"
    return folder


def broken(folder):
    return {str(folder / name) for name in ("train/dark/3.png", "train/light/5.png", "val/dark/2.png")}


def test_a_labelled_run_passes_over_them(run, photos):
    lines = read_lines(run / "skipped.jsonl")
    assert len(lines) == 3 and {line["image"] for line in lines} == broken(photos)
    knn = [record for record in read_lines(run / "metrics.jsonl") if "knn_top1" in record]
    # Dark and light images are told apart by any encoder: labels and features belong together.
    assert len(knn) == 3 and all(min(record["knn_top1"], record["probe_top1"]) > 0.8 for record in knn)


def test_the_limit_counts_all_readers(photos, tmp_path):
    recipe = load_recipe("digits", [*SMALL, f"data.source={json.dumps(str(photos))}", "data.max_unreadable=2"])
    with pytest.raises(DataError, match="Too many unreadable images: received 3, expected at most 2.*max_unreadable"):
        experiment.pretrain(experiment.PretrainRequest(recipe, tmp_path / "run"))
    assert len(read_lines(tmp_path / "run" / "skipped.jsonl")) == 3


def test_commands_leave_them_out_and_list_them(run, photos, tmp_path):
    spec = str(photos)
    (result,) = experiment.evaluate(
        experiment.EvaluateRequest(("knn",), (str(run),), spec, out=tmp_path / "results", overrides=("neighbors=[3]",))
    )
    assert (result.data.train_images, result.data.test_images, result.scores["top1"] > 0.8) == (22, 7, True)
    assert {line["image"] for line in read_lines(tmp_path / "results" / "skipped.jsonl")} == broken(photos)

    manifest = experiment.embed(experiment.EmbedRequest(str(run), spec, tmp_path / "features"))
    table = pq.read_table(tmp_path / "features")
    assert manifest.rows == 22 == len(table)
    paths, labels = table["path"].to_pylist(), table["label"].to_pylist()
    assert all(("dark" in path) == (label == 0) for path, label in zip(paths, labels, strict=True))
    assert len(read_lines(tmp_path / "features" / "_skipped.jsonl")) == 2

    out = tmp_path / "rows.jsonl"
    record = experiment.predict(experiment.PredictRequest(str(run), spec, out, split="test", neighbors=1))
    assert (record.rows, record.unreadable) == (8, 1)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["path"] for row in rows if row["error"]] == [str(photos / "val/dark/2.png")]
    assert [line["number"] for line in read_lines(tmp_path / "rows.jsonl.skipped.jsonl")] == [2]

    packed = experiment.pack_data(spec, "train", str(tmp_path / "packed"), shards=2)
    assert packed.images == 24, "what is packed is not decoded"
    (photos / "train" / "dark" / "9.png").rename(tmp_path / "away.png")
    (photos / "train" / "dark" / "9.png").symlink_to(tmp_path / "nowhere")
    packed = experiment.pack_data(spec, "train", str(tmp_path / "again"), shards=2)
    assert packed.images == 23 and len(read_lines(tmp_path / "again.skipped.jsonl")) == 1
    (photos / "train" / "dark" / "9.png").unlink()
    (tmp_path / "away.png").rename(photos / "train" / "dark" / "9.png")

    command = ["embed", "--encoder", str(run), "--data", spec, "--out", str(tmp_path / "no"), "--max-unreadable", "1"]
    answer = CliRunner().invoke(main, command)
    assert answer.exit_code == 1 and "expected at most 1" in str(answer.output) + str(answer.exception)


@pytest.mark.slow
def test_images_that_go_while_a_run_measures_and_trains(photographs, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    shutil.copytree(photographs, folder)
    measure, done = callbacks.KNNMonitor.on_train_begin, []

    def then_break(monitor, logs):
        measure(monitor, logs)
        if not done:
            done.append(True)
            (folder / "train" / "dark" / "0.png").unlink()
            (folder / "val" / "light" / "1.png").write_bytes(b"")
            other = (folder / "train" / "light" / "2.png").read_bytes()
            (folder / "train" / "light" / "3.png").write_bytes(other)

    monkeypatch.setattr(callbacks.KNNMonitor, "on_train_begin", then_break)
    recipe = load_recipe("digits", [*SMALL, f"data.source={json.dumps(str(folder))}"])
    info = experiment.pretrain(experiment.PretrainRequest(recipe, tmp_path / "run"))
    assert info.status == "finished" and np.isfinite(info.result.loss)
    lines = read_lines(tmp_path / "run" / "skipped.jsonl")
    assert {line["image"] for line in lines} == {
        str(folder / "train" / "dark" / "0.png"),
        str(folder / "val" / "light" / "1.png"),
    }
