"""`barlowtf evaluate` on real images, end to end: what it measures, records and shows."""

import json
import re
import shutil
from types import SimpleNamespace
from unittest import mock

import keras
import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image

from barlowtf import data
from barlowtf.encoders.loading import load
from barlowtf.errors import ConfigError
from barlowtf.evaluation import results_table
from barlowtf.experiment.foretelling import foretell_features

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.slow
def test_command_measures_records_and_shows(thin_run, tmp_path):
    words = ["evaluate", "--protocol", "semi1", "--protocol", "knn", "--protocol", "linear-fast", "--seeds", "0,1"]
    words += ["--encoder", str(thin_run), "--encoder", "random", "--encoder", "pixels", "--out", str(tmp_path)]
    words += ["--set", "semi1.epochs=2"]
    result = CliRunner().invoke(main, [*words, "--set", "penalties=[0.1]", "--json"])
    assert result.exit_code == 0, result.output
    records = json.loads(result.stdout)["results"]
    counts = {(r["protocol"], r["encoder"]["label"]): 0 for r in records}
    for record in records:
        counts[record["protocol"], record["encoder"]["label"]] += 1
    # kNN has no luck of its own; untrained encoders differ from seed to seed; pixels have nothing to train.
    assert counts == {
        ("knn", "pixels"): 1,
        ("linear-fast", "pixels"): 2,
        ("semi1", "trained"): 2,
        ("semi1", "random"): 2,
        ("knn", "trained"): 1,
        ("knn", "random"): 2,
        ("linear-fast", "trained"): 2,
        ("linear-fast", "random"): 2,
    }
    semi = next(record for record in records if record["protocol"] == "semi1")
    assert semi["labels"] == 14
    assert semi["subset"]["kind"] == "class-balanced draw"
    assert (semi["variant"], semi["changed_settings"]) == ("tiny", ["epochs = 2 (variant: 100)"])
    # That of ImageNet says nothing beside digits.
    assert semi["published"] is None
    assert semi["data"]["test_images"] == 360
    assert np.sum(semi["confusion_matrix"]) == 360
    accuracy = np.trace(semi["confusion_matrix"]) / 360
    assert semi["scores"]["top1"] == pytest.approx(accuracy)
    for key in ("versions", "machine", "seconds", "git_commit", "per_class", "not_comparable"):
        assert semi[key] is not None
    for key in ("sha256", "image_shape", "feature_width"):
        assert key in semi["encoder"]

    head = keras.models.load_model(tmp_path / semi["head"])
    encoder = keras.models.load_model((tmp_path / semi["head"]).with_name("encoder.keras"))
    opened = load(str(thin_run))
    test = data.labeled(data.open_source("digits", "test"))
    views = data.center_views(test.source, test.ids, size=8, channels=1, batch_size=360)
    images = np.concatenate([opened.normalize(batch) for batch in views])
    predicted = head(encoder(images, training=False)).numpy().argmax(1)
    # Head and fine-tuned encoder together are what was measured; batches of another size round otherwise.
    assert np.mean(predicted == test.labels) == pytest.approx(semi["scores"]["top1"], abs=2 / 360)

    table = (tmp_path / "table.md").read_text()
    assert re.search(r"\| semi1 \(tiny\) \* \| digits \| 14 \| top-1 \| – \| [\d.]+, [\d.]+ \|", table)
    assert not list(tmp_path.glob(".semi1*"))

    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    again = CliRunner().invoke(main, [*words, "--set", "penalties=[0.1]"])
    assert again.exit_code == 0
    assert again.stdout.startswith("| protocol |")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")} == files


def test_without_a_protocol_it_says_whether_pre_training_was_worth_it(thin_run, tmp_path):
    """Two classes that the pixels tell apart, no test split: a fifth is held out, five times."""
    r = np.random.default_rng(0)
    for number in range(40):
        folder = tmp_path / "set" / ("dark", "light")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = r.integers(0, 60, (9, 9), np.uint8) + np.uint8(180 * (number % 2))
        Image.fromarray(pixels).save(folder / f"{number}.png")
    words = ["evaluate", "--encoder", str(thin_run), "--data", str(tmp_path / "set"), "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(main, [*words, "--json"])
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.stdout)
    assert {record["protocol"] for record in told["results"]} == {"knn", "linear-fast"}
    assert {record["encoder"]["label"] for record in told["results"]} == {"trained", "random", "pixels"}
    knn = [r for r in told["results"] if (r["protocol"], r["encoder"]["label"]) == ("knn", "trained")]
    assert [(r["seed"], r["data"]["held_out"], r["data"]["test_images"]) for r in knn] == [
        (seed, 0.2, 8) for seed in range(5)
    ]
    (sentence,) = told["verdict"]
    assert sentence.startswith("Pre-training ") and "against 100.0 (" in sentence and "40 test images" in sentence
    assert "has no test split: 20 % of the images are held out, 5 times" in shown.stderr
    assert f"30 measurements: knn, linear-fast of {thin_run.name}, random, pixels." in shown.stderr
    assert "\n1/30: knn (" in shown.stderr and "\n30/30: linear-fast (" in shown.stderr
    table = CliRunner().invoke(main, words).stdout
    assert "(20 % held out) | 32 | top-1 |" in table and sentence in table

    refused = CliRunner().invoke(main, [*words, "--protocol", "knn", "--out", str(tmp_path / "other")])
    assert refused.exit_code == 1 and "or hold some images out: --holdout 0.2" in refused.stderr
    refused = CliRunner().invoke(main, ["evaluate", "--encoder", str(thin_run), "--holdout", "0.2"])
    assert refused.exit_code == 1 and "digits has a test split. Leave it out" in refused.stderr


def test_encoders_of_equal_weights_have_a_column_each(evaluate, thin_run, tmp_path):
    shutil.copytree(thin_run, tmp_path / "copy")
    encoders = (str(thin_run), str(tmp_path / "copy"), str(thin_run))
    results = evaluate(None, tmp_path / "out", "knn", encoders=encoders)
    names = [*encoders[:2], f"{thin_run} (2)"]
    assert [result.encoder.name for result in results] == names
    assert len({result.scores["top1"] for result in results}) == 1
    for table in (results_table(results), (tmp_path / "out" / "table.md").read_text()):
        header, row = table.splitlines()[0], table.splitlines()[2]
        assert all(f"| {name} |" in header for name in names)
        assert "–" not in row.rpartition("|")[0].rpartition("|")[0]


def test_one_data_set_by_two_names_is_measured_once(evaluate, photographs, thin_run, tmp_path, monkeypatch):
    monkeypatch.chdir(photographs.parent)
    for source in (str(photographs), f"{photographs.name}/"):
        (result,) = evaluate(thin_run, tmp_path, "knn", source=source)
        assert result.data.source == str(photographs)
    assert len(list(tmp_path.glob("*.json"))) == 1
    # Tables leave out the folders in front.
    assert f"| knn | {photographs.name} |" in results_table([result])


def test_voc07_on_images_whose_answer_is_known(evaluate, thin_run, tmp_path):
    r = np.random.default_rng(0)
    # Brightness tells the class: dark images show "night", light ones "day".
    for split, count in (("train", 30), ("test", 12)):
        (tmp_path / "set" / split).mkdir(parents=True)
        rows = ["file,night,day"]
        for number in range(count):
            kind = number % 2
            pixels = r.integers(0, 20, (9, 9), np.uint8) + np.uint8(220 * kind)
            Image.fromarray(pixels).save(tmp_path / "set" / split / f"{number}.png")
            rows.append(f"{number}.png,{int(kind == 0)},{int(kind == 1)}")
        (tmp_path / "set" / f"{split}.csv").write_text("\n".join(rows) + "\n")
    (record,) = evaluate(
        thin_run, tmp_path / "out", "voc07", source=str(tmp_path / "set"), overrides=("costs=[1.0,10.0]",)
    )
    assert record.scores["mean_average_precision"] == 1.0
    assert record.scores["mean_average_precision_11_points"] == 1.0
    assert record.per_class == (1.0, 1.0)
    assert record.per_class_title == "Average precision by class"
    assert record.confusion_matrix is None
    table = results_table([record])
    assert "| mAP | 100.0 | – |" in table
    # That of VOC07 says nothing beside these images.
    assert "| mAP, interpolated | 100.0 | – |" in table
    assert record.published is None

    with pytest.raises(ConfigError, match="--subset .*list: protocol voc07 uses all labels. Leave it out"):
        evaluate(thin_run, tmp_path / "out", "voc07", source=str(tmp_path / "set"), subset=tmp_path / "list")
    (tmp_path / "set" / "test" / "3.png").write_bytes(b"no image")
    (record,) = evaluate(
        thin_run, tmp_path / "out", "voc07", source=str(tmp_path / "set"), overrides=("costs=[1.0,10.0]",)
    )
    assert record.data.test_images == 11 and record.scores["mean_average_precision"] == 1.0


def test_the_file_of_a_run_takes_the_data_of_the_run(thin_run, tmp_path):
    words = ["evaluate", "--protocol", "knn", "--out", str(tmp_path / "out"), "--encoder"]
    shown = CliRunner().invoke(main, [*words, str(thin_run / "encoder.keras")])
    assert (shown.exit_code, "| knn | digits |" in shown.stdout) == (0, True), shown.output
    shutil.copy(thin_run / "encoder.keras", tmp_path / "alone.keras")
    refused = CliRunner().invoke(main, [*words, str(tmp_path / "alone.keras")])
    assert (refused.exit_code, "Missing --data" in refused.stderr) == (1, True)


@pytest.mark.parametrize("words", [["evaluate"], ["embed", "--data", "digits", "--out", "x"], ["search", "--in", "."]])
def test_an_encoder_that_is_not_there_is_said_first(words):
    refused = CliRunner().invoke(main, [*words, "--encoder", "typo"])
    assert (refused.exit_code, refused.stderr.startswith("Error: No encoder at typo.")) == (1, True), refused.stderr


def test_the_time_of_many_features_is_foretold(caplog):
    ids = np.arange(3_000)
    made = []
    encoder = SimpleNamespace(features_of=lambda views, count: made.append(count))
    source = SimpleNamespace()
    train, test = (data.Labeled(source, some, np.zeros(len(some))) for some in (ids, ids[:10]))
    splits = SimpleNamespace(train=train, test=test, held_out=None)
    with caplog.at_level("INFO", "barlowtf"), mock.patch("barlowtf.experiment.foretelling.center_views"):
        foretell_features(encoder, splits, 2)
        assert made == [32, 128]
        assert re.fullmatch(r"The features of 3,010 images take about 0 s for each of 2 encoders\.", caplog.messages[0])
        splits.train = data.Labeled(source, ids[:100], np.zeros(100))
        foretell_features(encoder, splits, 2)
    assert len(caplog.messages) == 1
