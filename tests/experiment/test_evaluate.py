"""Every protocol on real images, end to end: results, resume, replicas, bad input."""

import json
import logging
import re
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image

from barlowtf import data, experiment
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.errors import CheckpointError, ConfigError, DataError, Interrupted
from barlowtf.experiment import encoders, extracting, measuring
from barlowtf.models import Probe, make_encoder
from barlowtf.train import callbacks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RECIPE = load_recipe("digits", ["augment.size=8", "model.encoder=resnet10_w0p0625", "data.channels=1"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run as far as evaluation looks at it: recipe and encoder."""
    folder = tmp_path_factory.mktemp("runs") / "thin"
    folder.mkdir()
    (folder / "recipe.toml").write_text(dump_recipe(RECIPE))
    encoder = make_encoder("resnet10_w0p0625", image_shape=(8, 8, 1), seed=5)
    encoder.save(folder / "encoder.keras")
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two classes that differ in color; 24 images of different sizes for training, 8 for testing."""
    folder = tmp_path_factory.mktemp("photographs")
    r = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for name, low in (("dark", 0), ("light", 150)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = r.integers(low, low + 100, (10 + number % 3, 12, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


def _evaluate(run, out, *protocols, source="digits", overrides=(), **options):
    request = experiment.Request(
        protocols, options.pop("encoders", (str(run),)), source, overrides=overrides, out=out, **options
    )
    return experiment.evaluate(request)


def test_command_measures_records_and_shows(run, tmp_path):
    words = ["evaluate", "--protocol", "semi1", "--protocol", "knn", "--protocol", "linear-fast", "--seeds", "0,1"]
    words += ["--encoder", str(run), "--encoder", "random", "--out", str(tmp_path), "--set", "semi1.epochs=2"]
    result = CliRunner().invoke(main, [*words, "--set", "penalties=[0.1]", "--json"])
    assert result.exit_code == 0, result.output
    records = json.loads(result.stdout)["results"]
    counts = {(r["protocol"], r["encoder"]["label"]): 0 for r in records}
    for record in records:
        counts[record["protocol"], record["encoder"]["label"]] += 1
    # kNN has no luck of its own; untrained encoders differ from seed to seed.
    assert counts == {
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
    assert semi["changed_settings"] == ["epochs = 2 (recipe: 20)"]
    assert semi["published"] == {"top1": 0.55, "top5": 0.792}
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
    opened = encoders.open_encoder(str(run))
    test = data.labeled(data.open_source("digits", "test"))
    views = data.center_views(test.source, test.ids, size=8, channels=1, batch_size=360)
    images = np.concatenate([opened.normalize(batch) for batch in views])
    predicted = head(encoder(images, training=False)).numpy().argmax(1)
    # Head and fine-tuned encoder together are what was measured; batches of another size round otherwise.
    assert np.mean(predicted == test.labels) == pytest.approx(semi["scores"]["top1"], abs=2 / 360)

    table = (tmp_path / "table.md").read_text()
    assert re.search(r"\| semi1 \(repository\) \* \| digits \| 14 \| top-1 \| [\d.]+ ± [\d.]+ \|", table)
    assert not list(tmp_path.glob(".semi1*"))

    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    again = CliRunner().invoke(main, [*words, "--set", "penalties=[0.1]"])
    assert again.exit_code == 0
    assert again.stdout.startswith("| protocol |")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")} == files


@pytest.mark.parametrize(
    ("protocol", "overrides"),
    [("linear", ("linear.epochs=4", "batch_size=700")), ("semi10", ("semi10.epochs=4", "batch_size=60"))],
)
def test_training_resumes_bit_for_bit(run, tmp_path, monkeypatch, caplog, protocol, overrides):
    (whole,), _, _ = _evaluate(run, tmp_path / "whole", protocol, overrides=overrides)

    class Stopped(callbacks.StopOnRequest):
        def on_train_batch_end(self, batch, logs=None):
            if int(logs["step"]) == 5:
                signal.raise_signal(signal.SIGTERM)
            super().on_train_batch_end(batch, logs)

    monkeypatch.setattr(callbacks, "StopOnRequest", Stopped)
    with pytest.raises(Interrupted, match=f"in {protocol}, saved. The same command resumes"):
        _evaluate(run, tmp_path / "parts", protocol, overrides=overrides)
    assert not list((tmp_path / "parts").glob("*.json"))
    monkeypatch.undo()
    with caplog.at_level(logging.INFO, "barlowtf"):
        (resumed,), _, _ = _evaluate(run, tmp_path / "parts", protocol, overrides=overrides)
    assert "Resuming after step 5 of 12." in caplog.text
    assert resumed["scores"] == whole["scores"]
    assert resumed["details"] == whole["details"]
    names = ["head.keras"] + (["encoder.keras"] if protocol == "semi10" else [])
    for name in names:
        files = [(tmp_path / part / whole["head"]).with_name(name) for part in ("whole", "parts")]
        for one, two in zip(*(keras.models.load_model(file).get_weights() for file in files), strict=True):
            np.testing.assert_array_equal(one, two)


def test_fine_tuning_on_replicas_equals_one(run, tmp_path, two_replicas, monkeypatch):
    overrides = ("semi10.epochs=2", "area=[1.0,1.0]")
    (alone,), _, _ = _evaluate(run, tmp_path / "one", "semi10", overrides=overrides)
    # One strategy a process: TensorFlow mixes up the collectives of two on the same devices.
    monkeypatch.setattr("barlowtf.experiment.evaluating.make_strategy", lambda *_: two_replicas)
    request = experiment.Request(("semi10",), (str(run),), "digits", overrides=overrides, out=tmp_path / "two")
    (mirrored,), _, _ = experiment.evaluate(request, strategy="mirrored", replicas=2)
    assert (alone["replicas"], mirrored["replicas"]) == (1, 2)
    for name in ("head.keras", "encoder.keras"):
        one, two = (
            keras.models.load_model((tmp_path / part / record["head"]).with_name(name)).weights
            for part, record in (("one", alone), ("two", mirrored))
        )
        start = keras.models.load_model(run / "encoder.keras").get_weights() if name == "encoder.keras" else None
        for index, (first, second) in enumerate(zip(one, two, strict=True)):
            first, second = first.numpy(), second.numpy()
            # Two epochs of one update each; float32 sums in another order, behind batch statistics.
            limit = 1e-4
            if start is not None:
                # The encoder's rate is a hundredth of the head's: what counts is how far it went.
                limit = max(1e-6, 0.02 * np.abs(first - start[index]).max())
            np.testing.assert_allclose(second, first, rtol=0, atol=limit, err_msg=one[index].path)


def test_files_of_any_size_and_several_kinds_of_encoder(photographs, tmp_path, caplog):
    color = load_recipe("digits", ["augment.size=8", "model.encoder=resnet10_w0p0625", "data.channels=3"])
    (tmp_path / "color.toml").write_text(dump_recipe(color))
    encoder = make_encoder("resnet10_w0p0625", image_shape=(8, 8, 3), seed=5)
    encoder.save(tmp_path / "encoder.keras")
    archive = keras.export.ExportArchive()
    archive.track(encoder)
    archive.add_endpoint(
        "serving_default",
        lambda images: {"features": encoder(images, training=False)},
        input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="images")],
    )
    archive.write_out(str(tmp_path / "saved"), verbose=False)
    records, table, _ = _evaluate(
        None,
        tmp_path / "out",
        "knn",
        "linear",
        source=str(photographs),
        overrides=("neighbors=[3]", "linear.epochs=3", "batch_size=10", "area=[0.5,1.0]"),
        encoders=(str(tmp_path / "encoder.keras"), str(tmp_path / "saved")),
        config=str(tmp_path / "color.toml"),
    )
    assert [record["encoder"]["kind"] for record in records] == ["keras"] * 2 + ["saved-model"] * 2
    for protocol in ("knn", "linear"):
        one, two = (record for record in records if record["protocol"] == protocol)
        assert one["scores"] == two["scores"]
    assert records[0]["scores"]["top1"] == 1.0
    assert str(tmp_path / "saved") in table

    broken = tmp_path / "broken"
    shutil.copytree(photographs, broken)
    (broken / "train" / "dark" / "3.png").write_bytes(b"no image")
    (record,), _, _ = _evaluate(
        None,
        tmp_path / "out",
        "linear",
        source=str(broken),
        overrides=("epochs=1", "batch_size=10"),
        encoders=(str(tmp_path / "encoder.keras"),),
        config=str(tmp_path / "color.toml"),
    )
    assert record["data"]["train_images"] == 23
    assert "1 of 24 images cannot be read and are left out" in caplog.text
    # Said before anything is measured.
    with pytest.raises(ConfigError, match=r"semi1 trains the encoder, and a saved-model \(.*\) cannot be"):
        _evaluate(
            None,
            tmp_path / "new",
            "knn",
            "semi1",
            source=str(photographs),
            encoders=(str(tmp_path / "saved"),),
            config=str(tmp_path / "color.toml"),
        )


def test_another_preparation_or_architecture_is_another_measurement(tmp_path):
    """One file of weights, two sizes of images; untrained weights of equal seed and shapes, two strides."""
    configs = {}
    for size in (8, 12):
        recipe = load_recipe("digits", [f"augment.size={size}", "model.encoder=resnet10_w0p0625"])
        configs[size] = tmp_path / f"{size}.toml"
        configs[size].write_text(dump_recipe(recipe))
    half = load_recipe("digits", ["augment.size=8", "model.encoder=resnet10_w0p0625", "model.stem=half"])
    (tmp_path / "half.toml").write_text(dump_recipe(half))
    make_encoder("resnet10_w0p0625", image_shape=(None, None, 1), stem="small").save(tmp_path / "encoder.keras")
    out, encoder = tmp_path / "out", (str(tmp_path / "encoder.keras"),)
    for size in (8, 12):
        ((record),), _, _ = _evaluate(None, out, "knn", encoders=encoder, config=str(configs[size]))
        assert record["encoder"]["image_shape"] == [size, size, 1]
    for config in (configs[8], tmp_path / "half.toml"):
        _evaluate(None, out, "knn", encoders=("random",), config=str(config))
    assert len(list(out.glob("knn-*.json"))) == 4
    # The recipe of a run is its own, whatever --config says about others.
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(configs[8], folder / "recipe.toml")
    shutil.copy(tmp_path / "encoder.keras", folder)
    assert encoders.open_encoder(str(folder), config=str(configs[12])).image_shape == (8, 8, 1)


def test_splits_of_equal_names_and_sizes_are_not_taken_for_each_other(run, tmp_path):
    for split, value in (("train", 50), ("test", 200)):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            # BMP: the size of the file says nothing about the picture.
            Image.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / split / name / "0.bmp")
    train, test = (data.labeled(data.open_source(str(tmp_path), split)) for split in ("train", "test"))
    assert train.source.fingerprint == test.source.fingerprint
    views = measuring.Views(encoders.open_encoder(str(run)), tmp_path / "features")
    assert not np.allclose(views.features(train), views.features(test))


def test_extraction_goes_on_after_its_last_part(run, tmp_path, monkeypatch):
    (expected,), _, _ = _evaluate(run, tmp_path / "whole", "knn")
    monkeypatch.setattr(extracting, "PART_IMAGES", 500)
    made, read = [], extracting.center_views

    def stopping(encoder, source, ids):
        made.append(len(ids))
        if len(made) == 3:
            signal.raise_signal(signal.SIGTERM)
        return read(encoder, source, ids)

    monkeypatch.setattr(extracting, "center_views", stopping)
    with pytest.raises(Interrupted):
        _evaluate(run, tmp_path / "out", "knn")
    assert (made, len(list((tmp_path / "out" / ".features").glob("*/part-*.npy")))) == ([500, 500, 437], 2)
    (record,), _, _ = _evaluate(run, tmp_path / "out", "knn")
    # The rest of the training images, and the test images.
    assert made == [500, 500, 437, 437, 360]
    assert record["scores"] == expected["scores"]
    assert not (tmp_path / "out" / ".features").exists()


def test_views_and_tests_of_different_size(tmp_path):
    settings = ["augment.size=8", "augment.test_size=12", "model.encoder=resnet10_w0p0625", "model.stem=small"]
    settings += ["model.projector=[16,16]", "train.epochs=1", "optimizer.warmup_epochs=0.5", "train.batch_size=479"]
    recipe = load_recipe("digits", settings)
    info = experiment.pretrain(recipe, tmp_path / "run")
    assert info["result"]["knn_top1"] > 0.1
    assert experiment.plan(recipe)["memory_bytes_per_replica"]["activations"] > 0
    (trained, random), _, _ = _evaluate(tmp_path / "run", None, "knn", encoders=(str(tmp_path / "run"), "random"))
    assert trained["encoder"]["image_shape"] == random["encoder"]["image_shape"] == [12, 12, 1]
    assert trained["encoder"]["architecture"] == random["encoder"]["architecture"]
    opened = encoders.open_encoder(str(tmp_path / "run"))
    test = data.labeled(data.open_source("digits", "test"))
    views = measuring.Views(opened, tmp_path / "features")
    (batch,) = [batch for batch in views.views(test).take(1)]
    assert batch.shape[1:] == (12, 12, 1)


def test_voc07_on_images_whose_answer_is_known(run, tmp_path):
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
    (record,), table, _ = _evaluate(
        run, tmp_path / "out", "voc07", source=str(tmp_path / "set"), overrides=("costs=[1.0,10.0]",)
    )
    assert record["scores"]["mean_average_precision"] == 1.0
    assert record["scores"]["mean_average_precision_11_points"] == 1.0
    assert record["per_class"] == [1.0, 1.0]
    assert record["confusion_matrix"] is None
    assert "| mAP | 100.0 | – |" in table
    assert "| mAP, interpolated | 100.0 | not comparable [1] |" in table
    assert "[1] published: 86.2" in table

    with pytest.raises(ConfigError, match="voc07 takes all labels. Received --subset .*list. Leave it out"):
        _evaluate(run, tmp_path / "out", "voc07", source=str(tmp_path / "set"), subset=tmp_path / "list")
    (tmp_path / "set" / "test" / "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 12 images of set test cannot be read: .*3\.png"):
        _evaluate(run, tmp_path / "out", "voc07", source=str(tmp_path / "set"))


def test_a_head_equals_scikit_learn_on_fixed_features():
    """One convex problem, two solvers: SGD as in `linear`, and L-BFGS of scikit-learn."""
    from sklearn.linear_model import LogisticRegression

    from barlowtf.models import make_head
    from barlowtf.optim import EpochSchedule, MomentumSGD, epoch_rates

    r = np.random.default_rng(0)
    centers = r.standard_normal((10, 20))
    train_labels, test_labels = np.arange(2000) % 10, np.arange(10_000) % 10
    train, test = (
        (centers[labels] + 1.5 * r.standard_normal((len(labels), 20))).astype(np.float32)
        for labels in (train_labels, test_labels)
    )
    decay, epochs, batch = 1e-2, 60, 250
    features = keras.Input((20,))
    identity = keras.Model(features, keras.layers.Identity()(features))
    probe = Probe(identity, make_head(20, 10), frozen=True)
    rates = epoch_rates(0.1, epochs=epochs, schedule="cosine")
    probe.compile(MomentumSGD(EpochSchedule(rates, len(train) // batch), weight_decay=decay), jit_compile=False)
    probe.optimizer.build(probe.trainable_variables)
    step = tf.function(probe.train_step)
    for _ in range(epochs):
        order = r.permutation(len(train)).reshape(-1, batch)
        for rows in order:
            step((tf.constant(train[rows]), tf.constant(train_labels[rows])))
    ours = float(np.mean(probe.head(test).numpy().argmax(1) == test_labels))
    # decay / 2 |w|^2 + mean loss = (1 / (C n)) / 2 |w|^2 + mean loss; scikit-learn leaves the bias out of the decay.
    model = LogisticRegression(C=1 / (decay * len(train)), max_iter=1000).fit(train, train_labels)
    theirs = model.score(test, test_labels)
    assert 0.6 < theirs < 0.95
    assert abs(ours - theirs) <= 0.002


def test_bad_input_is_told_and_earlier_results_stay(run, photographs, tmp_path):
    before = _evaluate(run, tmp_path / "out", "knn")[0]
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (photographs / "train" / "dark").glob("*.png"):
        shutil.copy(path, flat / path.name)
    halves = tmp_path / "halves"
    for split in ("train", "test"):
        shutil.copytree(flat, halves / split)
    lacking = tmp_path / "lacking.txt"
    lacking.write_text("dark/0.png\ndark/1.png\n")
    strange = tmp_path / "strange.txt"
    strange.write_text("\n".join(f"x{number}.png" for number in range(6)))
    cases = [
        (DataError, {"source": str(flat)}, "has no test split, and protocol knn needs one"),
        (DataError, {"source": str(halves)}, "The train images of .* have no labels"),
        (DataError, {"source": str(photographs), "subset": lacking}, "no example of 1 of 2 classes, e.g. light"),
        (DataError, {"source": str(photographs), "subset": strange}, "not there: 6 of 6, e.g. x0.png, x1.png, x2.png"),
        (CheckpointError, {"encoders": (str(tmp_path / "absent"),)}, "No encoder at .*absent. Expected a run folder"),
        (CheckpointError, {"encoders": (str(strange),)}, "is no encoder"),
        (ConfigError, {"encoders": ("random",)}, "add --config RECIPE, or a second --encoder RUN"),
        (ConfigError, {"subset_sha256": "0"}, "--subset-sha256 is of a list, and there is none"),
        (ConfigError, {"overrides": ("aspect=[1.3,0.7]",)}, r"aspect is a range \[low, high\]"),
    ]
    for kind, options, message in cases:
        with pytest.raises(kind, match=message):
            _evaluate(run, tmp_path / "out", "linear" if "overrides" in options else "knn", **options)
    diverged = tmp_path / "diverged"
    shutil.copytree(run, diverged)
    encoder = keras.models.load_model(diverged / "encoder.keras")
    encoder.set_weights([np.full_like(weight, np.nan) for weight in encoder.get_weights()])
    encoder.save(diverged / "encoder.keras")
    with pytest.raises(DataError, match="diverged are not finite in 1437 of 1437 images, first in number 0"):
        _evaluate(diverged, tmp_path / "out", "knn")
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "recipe.toml").write_text(dump_recipe(RECIPE))
    with pytest.raises(CheckpointError, match="has no encoder.keras yet: it is unfinished"):
        _evaluate(unfinished, tmp_path / "out", "knn")
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match="Cannot read .*damaged.keras"):
        _evaluate(damaged, tmp_path / "out", "knn")
    make_encoder("resnet10_w0p0625", image_shape=(8, 12, 1), stem="small").save(tmp_path / "wide.keras")
    with pytest.raises(CheckpointError, match="wide.keras takes images of 8 x 12 pixels. Expected as wide as high"):
        _evaluate(
            None, tmp_path / "out", "knn", encoders=(str(tmp_path / "wide.keras"),), config=str(run / "recipe.toml")
        )
    assert _evaluate(run, tmp_path / "out", "knn")[0] == before
    result = CliRunner().invoke(main, ["evaluate", "--protocol", "knn", "--encoder", "random"])
    assert (result.exit_code, "No --data" in result.stderr) == (1, True)
    assert CliRunner().invoke(main, ["evaluate", "--protocol", "knn", "--encoder", "x", "--seeds", "a"]).exit_code == 2


def test_imagenet_takes_the_published_subsets():
    from barlowtf.experiment.labeled_data import training_spec

    assert training_spec("tfds:imagenet2012", "semi1") == "tfds:imagenet2012_subset/1pct"
    assert training_spec("tfds:imagenet2012", "semi10") == "tfds:imagenet2012_subset/10pct"
    assert training_spec("tfds:imagenet2012", "linear") == "tfds:imagenet2012"
    assert training_spec("digits", "semi1") == "digits"
