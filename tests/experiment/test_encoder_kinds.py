"""Encoders to be measured: files of several kinds, sizes of images, and which are taken for the same."""

import shutil

import keras
import pytest
import tensorflow as tf

from barlowtf import data, experiment
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.encoders.extracting import center_views
from barlowtf.encoders.loading import load
from barlowtf.errors import ConfigError
from barlowtf.evaluation import results_table
from barlowtf.models import make_encoder

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.slow
def test_files_of_any_size_and_several_kinds_of_encoder(evaluate, photographs, tmp_path, caplog):
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
    records = evaluate(
        None,
        tmp_path / "out",
        "knn",
        "linear",
        source=str(photographs),
        overrides=("neighbors=[3]", "linear.epochs=3", "batch_size=10", "area=[0.5,1.0]"),
        encoders=(str(tmp_path / "encoder.keras"), str(tmp_path / "saved")),
        config=str(tmp_path / "color.toml"),
    )
    assert [record.encoder.kind for record in records] == ["keras"] * 2 + ["saved-model"] * 2
    for protocol in ("knn", "linear"):
        one, two = (record for record in records if record.protocol == protocol)
        assert one.scores == two.scores
    assert records[0].scores["top1"] == 1.0
    assert str(tmp_path / "saved") in results_table(records)

    broken = tmp_path / "broken"
    shutil.copytree(photographs, broken)
    (broken / "train" / "dark" / "3.png").write_bytes(b"no image")
    (record,) = evaluate(
        None,
        tmp_path / "out",
        "linear",
        source=str(broken),
        overrides=("epochs=1", "batch_size=10"),
        encoders=(str(tmp_path / "encoder.keras"),),
        config=str(tmp_path / "color.toml"),
    )
    assert record.data.train_images == 23
    assert "dark/3.png: Unknown image format" in caplog.text
    assert len((tmp_path / "out" / "skipped.jsonl").read_text().splitlines()) == 1
    # Said before anything is measured.
    with pytest.raises(ConfigError, match=r"semi1 trains the encoder, and .* \(kind saved-model\) cannot be"):
        evaluate(
            None,
            tmp_path / "new",
            "knn",
            "semi1",
            source=str(photographs),
            encoders=(str(tmp_path / "saved"),),
            config=str(tmp_path / "color.toml"),
        )


def test_another_preparation_or_architecture_is_another_measurement(evaluate, tmp_path):
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
        (record,) = evaluate(None, out, "knn", encoders=encoder, config=str(configs[size]))
        assert record.encoder.image_shape == (size, size, 1)
    for config in (configs[8], tmp_path / "half.toml"):
        evaluate(None, out, "knn", encoders=("random",), config=str(config))
    assert len(list(out.glob("knn-*.json"))) == 4
    # The recipe of a run is its own, whatever --config says about others.
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(configs[8], folder / "recipe.toml")
    shutil.copy(tmp_path / "encoder.keras", folder)
    assert load(str(folder), config=str(configs[12])).image_shape == (8, 8, 1)


@pytest.mark.slow
def test_views_and_tests_of_different_size(evaluate, tmp_path):
    settings = ["augment.size=8", "augment.test_size=12", "model.encoder=resnet10_w0p0625", "model.stem=small"]
    settings += ["model.projector=[16,16]", "train.epochs=1", "optimizer.warmup_epochs=0.5", "train.batch_size=479"]
    recipe = load_recipe("digits", settings)
    request = experiment.PretrainRequest(recipe, tmp_path / "run")
    info = experiment.pretrain(request)
    assert info.result.knn_top1 > 0.1
    assert experiment.plan(request).memory_bytes_per_replica["activations"] > 0
    trained, random = evaluate(tmp_path / "run", None, "knn", encoders=(str(tmp_path / "run"), "random"))
    assert trained.encoder.image_shape == random.encoder.image_shape == (12, 12, 1)
    assert trained.encoder.architecture == random.encoder.architecture
    opened = load(str(tmp_path / "run"))
    test = data.labeled(data.open_source("digits", "test"))
    (batch,) = center_views(opened, test.source, test.ids).take(1)
    assert batch.shape[1:] == (12, 12, 1)
