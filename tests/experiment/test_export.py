"""`barlowtf export` on a real run: every figure from a fresh process, heads, checkpoints, folders, bad input."""

import dataclasses
import importlib
import json
import shutil

import keras
import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import data, experiment, runs
from barlowtf.config import load_recipe
from barlowtf.encoders.loading import load
from barlowtf.export import FORMATS, format, litert, replay
from barlowtf.export.origins import open_origin
from barlowtf.models import make_encoder
from barlowtf.records import write_record
from benchmarks.kills import SETTINGS

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on the digits with two results: a head on the frozen encoder, and one that was trained along with it."""
    folder = tmp_path_factory.mktemp("runs") / "thin"
    settings = {
        **SETTINGS,
        "train.epochs": "1",
        "optimizer.warmup_epochs": "0",
        "monitor.knn_every_epochs": "none",
        "checkpoint.every_steps": "11",
    }
    recipe = load_recipe("digits", [f"{key}={value}" for key, value in settings.items()])
    experiment.pretrain(experiment.PretrainRequest(recipe, folder))
    request = experiment.EvaluateRequest(
        ("linear-fast",), (str(folder),), "digits", overrides=["linear-fast.penalties=[0.01]"]
    )
    experiment.evaluate(request)
    experiment.evaluate(
        experiment.EvaluateRequest(("semi1",), (str(folder),), "digits", "small", overrides=["epochs=1"])
    )
    return folder


def export(*words):
    result = CliRunner().invoke(main, ["export", "--images", "64", *map(str, words)])
    assert "Traceback" not in result.output
    return result


def features_of(encoder):
    source = data.open_source("digits", "test")
    size, _, channels = encoder.image_shape
    return encoder.features_of(data.center_views(source, np.arange(40), size=size, channels=channels, batch_size=40))


def test_a_saved_model_with_its_record_and_a_second_version(run):
    result = export("--encoder", run, "--head", "linear-fast", "--json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert shown["folder"] == str(run / "exports" / "saved-model" / "1")
    kept = json.loads((run / "exports" / "saved-model-1.json").read_text())
    assert kept == shown
    assert shown["record"] == str(run / "exports" / "saved-model-1.json")
    figures = kept["files"]["."]
    assert figures["images"] == 64
    assert set(figures["signatures"]) == {"serving_default", "from_jpeg", "float_images"}
    for signature in figures["signatures"].values():
        assert signature["top1_agreement"] == 1.0
        assert 0 < signature["largest_difference"]["features"] < 1e-5 * signature["largest_value"]["features"] + 1e-6
    assert figures["largest_difference"]["embeddings"] < 1e-4 * figures["largest_value"]["embeddings"]
    assert figures["top1"] == figures["top1_source"] > 0.1
    assert kept["class_names"] == [str(digit) for digit in range(10)]
    assert kept["head"]["protocol"] == "linear-fast"

    again = export("--encoder", run, "--head", "linear-fast")
    assert again.exit_code == 0
    assert "exports/saved-model/2" in again.output
    assert (run / "exports" / "saved-model" / "1" / "saved_model.pb").exists()
    # What was exported can be measured: the same features, of the images as they are.
    first, exported = (load(str(path)) for path in (run, run / "exports" / "saved-model" / "2"))
    np.testing.assert_allclose(features_of(exported), features_of(first), rtol=1e-4, atol=1e-5)
    refused = export("--encoder", run / "exports" / "saved-model" / "2", "--out", run / "x")
    assert "expected one with layers and trained weights" in refused.output


def test_a_keras_file_of_a_fine_tuned_encoder(run, tmp_path):
    (result,) = (run / "results").glob("semi1-*.json")
    shown = export("--encoder", run, "--head", result, "--format", "keras", "--out", tmp_path / "keras", "--json")
    assert shown.exit_code == 0, shown.output
    record = json.loads(shown.stdout)
    assert record["files"]["model.keras"]["top1_agreement"] == 1.0
    assert record["embedding_width"] is None
    tuned = load(str(result.with_suffix("") / "encoder.keras"), config=str(run / "recipe.toml"))
    assert record["encoder"]["sha256"] == tuned.sha256 != load(str(run)).sha256
    # Opened as an encoder, without a recipe: its normalization is inside.
    exported = load(str(tmp_path / "keras" / "1" / "model.keras"))
    np.testing.assert_allclose(features_of(exported), features_of(tuned), rtol=1e-4, atol=1e-5)
    # The same head for the fine-tuned encoder itself, named by its folder.
    origin = open_origin(
        str(result.with_suffix("") / "encoder.keras"), head=str(result.with_suffix("")), config=str(run / "recipe.toml")
    )
    assert origin.encoder.sha256 == tuned.sha256


def test_quantized_files_that_fall_short_are_not_written_unasked(run, tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS["tflite"].least_agreement, "int8", 1.01)
    words = ["--encoder", run, "--head", "linear-fast", "--format", "tflite", "--representative", "8"]
    words += ["--variant", "float16", "--variant", "int8", "--out", tmp_path / "phone"]
    result = export(*words)
    assert result.exit_code == 1
    assert "Error: int8.tflite agrees with its source in the class of" in result.output
    assert "--accept-loss" in result.output
    assert sorted(path.name for path in (tmp_path / "phone" / "1").iterdir()) == ["class_names.txt", "float16.tflite"]
    accepted = export(*words, "--accept-loss", "--json")
    assert accepted.exit_code == 0, accepted.output
    record = json.loads(accepted.stdout)
    assert "at least 101.0%" in record["files"]["int8.tflite"]["falls_short"]
    assert record["files"]["float16.tflite"]["falls_short"] is None
    assert (tmp_path / "phone" / "2" / "int8.tflite").stat().st_size == record["files"]["int8.tflite"]["bytes"]
    alone = export(*words[:-6], "--variant", "int8", "--out", tmp_path / "alone")
    assert (alone.exit_code, "Nothing was written" in alone.output) == (1, True)
    assert not (tmp_path / "alone").exists()


def test_a_file_of_one_output_and_a_fixed_batch(run, tmp_path):
    words = ["--encoder", run, "--head", "linear-fast", "--format", "tflite", "--variant", "float32", "--batch", "3"]
    result = export(*words, "--outputs", "probabilities", "--out", tmp_path / "phone")
    assert result.exit_code == 0, result.output
    assert "difference of the probabilities" in result.stdout
    (record,) = (run / "exports").glob("phone-tflite-1.json")
    kept = json.loads(record.read_text())
    assert kept["settings"] == {"batch": 3, "outputs": "probabilities", "int8_outputs": "float32"}
    figures = kept["files"]["float32.tflite"]
    assert set(figures["largest_difference"]) == {"probabilities"}
    assert (figures["least_cosine"], figures["top1_agreement"]) == (None, 1.0)


def test_what_differs_from_its_source_is_not_written(run, tmp_path, monkeypatch):
    convert = litert.convert_litert

    def corrupted(parts, *others):
        kernel, bias = parts.head.get_weights()
        other = keras.models.clone_model(parts.head)
        other.set_weights([kernel + 0.01 * np.abs(kernel).max(), bias])
        return convert(dataclasses.replace(parts, head=other), *others)

    monkeypatch.setattr(litert, "convert_litert", corrupted)
    result = export(
        "--encoder", run, "--head", "linear-fast", "--format", "tflite", "--variant", "float32", "--out", tmp_path / "x"
    )
    assert result.exit_code == 1
    assert "float32.tflite differs from its source" in result.output
    assert not (tmp_path / "x").exists()


def test_a_file_that_no_fresh_process_can_load_is_not_written(run, tmp_path, monkeypatch):
    broken = tmp_path / "replay.py"
    broken.write_text("raise SystemExit('no such operation')")
    monkeypatch.setattr(replay, "__file__", str(broken))
    result = export("--encoder", run, "--format", "tflite", "--variant", "float32", "--out", tmp_path / "x")
    assert result.exit_code == 1
    assert "cannot be loaded by a fresh process: no such operation" in result.output
    assert not (tmp_path / "x").exists()


@pytest.fixture
def unfinished(run, tmp_path):
    """A copy of the run as it was before its end."""
    shutil.copytree(run, tmp_path / "unfinished", ignore=shutil.ignore_patterns("*.keras", "exports", "results"))
    folder = runs.RunFolder(tmp_path / "unfinished")
    write_record(folder.info, folder.read_info().model_copy(update={"status": "interrupted"}))
    return folder


def test_an_unfinished_run_says_which_checkpoint_and_exports_it_when_asked(run, unfinished):
    steps = sorted(int(path.name[-8:]) for path in unfinished.checkpoints.iterdir())
    result = export("--encoder", unfinished.path, "--format", "tflite", "--variant", "float32")
    assert result.exit_code == 1
    assert f"is interrupted. Its last whole checkpoint is of step {steps[-1]}: add --checkpoint latest" in result.output
    # The last one is damaged: the one before is the last whole one.
    (unfinished.checkpoints / f"step-{steps[-1]:08d}" / "state.index").write_bytes(b"")
    result = export("--encoder", unfinished.path, "--format", "tflite", "--variant", "float32")
    assert f"of step {steps[-2]}" in result.output
    assert not (unfinished.path / "exports").exists()
    words = ["--encoder", unfinished.path, "--format", "tflite", "--variant", "float32", "--checkpoint"]
    assert "damaged: state.index has 0 bytes" in export(*words, steps[-1]).output
    assert f"Expected latest, or one of its steps: {steps[0]}" in export(*words, 7777).output
    result = export(*words, "latest", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["step"] == steps[-2]

    finished = open_origin(str(run), checkpoint_of=str(steps[-1]))
    assert finished.encoder.sha256 == load(str(run)).sha256
    np.testing.assert_array_equal(finished.projector.get_weights()[0], open_origin(str(run)).projector.get_weights()[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--head", "knn"], "has no result of knn for this encoder. Run: barlowtf evaluate --protocol knn"),
        (["--head", "no/such.json"], "No result at no/such.json"),
        (["--variant", "int8"], "Invalid --variant: received int8 for the format saved-model, expected none"),
        (["--layout", "nchw"], "received layout for the format saved-model, which has serving_default"),
        (["--format", "tflite", "--outputs", "probabilities"], "for an encoder without head. Add --head RESULT"),
        (["--format", "onnx", "--layout", "chwn"], "received layout='chwn' for the format onnx"),
        (["--encoder", "random"], "expected one with layers and trained weights"),
        (["--encoder", "no/such"], "No encoder at no/such"),
        (["--checkpoint", "x"], "has no whole checkpoint x"),
        (["--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(run, tmp_path, words, message):
    result = export("--encoder", run, "--out", tmp_path / "out", *words)
    assert result.exit_code == 1
    errors = [line for line in result.output.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (tmp_path / "out").exists()


def test_encoders_that_are_no_runs(run, tmp_path, monkeypatch):
    other = make_encoder("resnet10_w0p0625", image_shape=(8, 8, 3), seed=9)
    other.save(tmp_path / "other.keras")
    words = ["--encoder", tmp_path / "other.keras", "--format", "tflite", "--variant", "float32"]
    assert "Add --out DIR" in export(*words).output
    words += ["--out", tmp_path / "out"]
    (result,) = (run / "results").glob("linear-fast-*.json")
    refused = export(*words, "--head", result)
    assert "belongs to another encoder: received one with weights" in refused.output
    assert "is not a run, so it has no result of knn" in export(*words, "--head", "knn").output
    assert "which is not a run" in export(*words, "--checkpoint", "latest").output
    assert "Add --data SPEC" in export(*words[:-2], "--variant", "int8", *words[-2:]).output
    assert not (tmp_path / "out").exists()
    # Without a run there are photographs to compare on, and the record lies beside the versions.
    shown = export(*words, "--json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["images"] == {"source": "photographs of scikit-learn", "count": 64}
    assert (tmp_path / "out" / "out-tflite-1.json").exists()

    def full(path, value):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(importlib.import_module("barlowtf.experiment.export"), "write_record", full)
    result = export(*words)
    assert (result.exit_code, "2 is complete, but what belongs to it cannot be written" in result.output) == (1, True)
    assert (tmp_path / "out" / "2" / "float32.tflite").exists()


def test_exchanged_heads_and_encoders_are_refused(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (result,) = (copy / "results").glob("linear-fast-*.json")
    head = result.with_suffix("") / "head.keras"
    words = ["--encoder", copy, "--out", tmp_path / "out", "--head", result]

    def replace_head(classes):
        inputs = keras.Input((32,))
        keras.Model(inputs, keras.layers.Dense(classes)(inputs)).save(head)

    replace_head(10)
    refused = export(*words)
    assert (refused.exit_code, "head.keras is not the head of" in refused.output) == (1, True)
    record = json.loads(result.read_text())
    # An earlier version did not record the weights of a head.
    result.write_text(json.dumps({**record, "head_sha256": None}))
    replace_head(9)
    assert "received one of 9 classes, expected 10" in export(*words).output

    make_encoder("resnet10_w0p0625", image_shape=(8, 8, 1), seed=9).save(copy / "encoder.keras")
    refused = export("--encoder", copy, "--out", tmp_path / "out")
    assert (refused.exit_code, "is not the encoder that its run has left" in refused.output) == (1, True)
    assert not (tmp_path / "out").exists()


def test_extras_that_are_not_installed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(format, "find_spec", lambda name: None)
    for form, extra in (("tflite", "litert"), ("onnx", "onnx"), ("torch", "torch")):
        result = export("--encoder", run, "--format", form, "--out", tmp_path / "out")
        assert (result.exit_code, f"pip install 'barlowtf[{extra}]'" in result.output) == (1, True)
