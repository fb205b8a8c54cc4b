"""Features as files: order, resume after a signal, unreadable images, folders in use."""

import importlib
import json
import os
import shutil
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import data, experiment
from barlowtf.encoders.loading import load
from barlowtf.errors import CheckpointError, DataError, Interrupted
from barlowtf.models import make_encoder
from barlowtf.records import read_lines

# The package offers the function under the module's name.
command = importlib.import_module("barlowtf.experiment.embed")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def expected(thin_run):
    source = data.open_source("digits", "test")
    views = data.center_views(source, np.arange(source.size), size=8, channels=1, batch_size=360)
    return load(str(thin_run)).features_of(views), source.labels


def test_parquet_and_npy_hold_the_features_in_order(thin_run, expected, tmp_path):
    words = ["embed", "--encoder", str(thin_run), "--data", "digits", "--split", "test", "--out", str(tmp_path / "a")]
    result = CliRunner().invoke(main, [*words, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"] == 360
    table = pq.read_table(tmp_path / "a")
    assert table.column_names == ["id", "path", "label", "feature"]
    assert table["id"].to_pylist() == list(range(360))
    assert table["path"][3].as_py() == "digits test image 3"
    assert table["label"].to_pylist() == expected[1].tolist()
    # Batches of another size are summed in another order.
    np.testing.assert_allclose(np.stack(table["feature"].to_numpy()), expected[0], atol=1e-5)
    again = CliRunner().invoke(main, words)
    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, "features    360 of width 32, parquet")

    experiment.embed(
        experiment.EmbedRequest(str(thin_run), "digits", tmp_path / "b", split="test", file_format="npy", part_rows=100)
    )
    assert sorted(path.name for path in (tmp_path / "b").iterdir() if path.name != ".lock") == [
        "_embed.json",
        "features.npy",
        "ids.npy",
        "labels.npy",
    ]
    np.testing.assert_allclose(np.load(tmp_path / "b" / "features.npy"), expected[0], atol=1e-5)
    assert np.load(tmp_path / "b" / "labels.npy").tolist() == expected[1].tolist()


def test_a_stopped_call_goes_on(thin_run, expected, tmp_path, monkeypatch):
    out, make, made = tmp_path / "out", command.readable_features, []

    def stopping(encoder, images, ids, skipped):
        made.append(int(ids[0]))
        if len(made) == 3:
            signal.raise_signal(signal.SIGINT)
        return make(encoder, images, ids, skipped)

    monkeypatch.setattr(command, "readable_features", stopping)
    options = {"split": "test", "part_rows": 100}
    with pytest.raises(Interrupted, match="SIGINT after 200 of 360 images, saved. The same command resumes"):
        experiment.embed(experiment.EmbedRequest(str(thin_run), "digits", out, **options))
    # As a crash of the machine may leave it: the name is there, the content is not whole.
    (out / "part-00000.parquet").write_bytes(b"PAR1")
    result = experiment.embed(experiment.EmbedRequest(str(thin_run), "digits", out, **options))
    assert result.rows == 360
    assert made == [0, 100, 200, 0, 200, 300]
    np.testing.assert_allclose(np.stack(pq.read_table(out)["feature"].to_numpy()), expected[0], atol=1e-5)

    made.clear()
    arrays = {**options, "file_format": "npy"}
    with pytest.raises(Interrupted):
        experiment.embed(experiment.EmbedRequest(str(thin_run), "digits", tmp_path / "arrays", **arrays))
    assert experiment.embed(experiment.EmbedRequest(str(thin_run), "digits", tmp_path / "arrays", **arrays)).rows == 360
    assert made == [0, 100, 200, 200, 300]
    np.testing.assert_allclose(np.load(tmp_path / "arrays" / "features.npy"), expected[0], atol=1e-5)
    assert np.load(tmp_path / "arrays" / "ids.npy").tolist() == list(range(360))

    other = tmp_path / "other"
    shutil.copytree(thin_run, other)
    make_encoder("resnet10_w0p0625", image_shape=(8, 8, 1), seed=6).save(other / "encoder.keras")
    with pytest.raises(CheckpointError, match="holds features that differ in encoder, format. Choose another --out"):
        experiment.embed(experiment.EmbedRequest(str(other), "digits", out, **options, file_format="npy"))
    with pytest.raises(CheckpointError, match="is in use and holds no features"):
        experiment.embed(experiment.EmbedRequest(str(thin_run), "digits", other))
    assert pq.read_metadata(out / "part-00003.parquet").num_rows == 60


def test_unreadable_images_are_left_out(thin_run, tmp_path, caplog):
    from PIL import Image

    folder = tmp_path / "flat"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(np.full((9, 9), 40 * number, np.uint8)).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"no image")
    # A name that is no UTF-8.
    os.rename(folder / "4.png", os.fsencode(folder) + b"/4\xe9.png")
    experiment.embed(experiment.EmbedRequest(str(thin_run), str(folder), tmp_path / "out"))
    table = pq.read_table(tmp_path / "out")
    assert table["path"][3].as_py().endswith("4\\xe9.png")
    assert table["id"].to_pylist() == [0, 1, 3, 4]
    assert table["label"].null_count == 4
    assert "2.png: Unknown image format" in caplog.text
    (line,) = read_lines(tmp_path / "out" / "_skipped.jsonl")
    assert line["image"] == str(folder / "2.png")
    with pytest.raises(DataError, match=r"received 1, expected at most 0\. .*raise --max-unreadable"):
        experiment.embed(experiment.EmbedRequest(str(thin_run), str(folder), tmp_path / "no", max_unreadable=0))
