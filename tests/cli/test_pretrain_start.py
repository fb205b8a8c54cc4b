"""`barlowtf pretrain --init` and `--extend` as their user meets them."""

import json
from pathlib import Path

import pytest
from barlowtf_cli.main import main
from barlowtf_cli.pretrain import _result_text
from click.testing import CliRunner

from barlowtf.config import dump_recipe, load_recipe
from barlowtf.records import RunBest, RunInfo, RunVerdict


def invoke(*words):
    return CliRunner().invoke(main, ["pretrain", *words])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--config", "digits"], "so --config cannot"),
        (["--init", "first"], "so --init cannot"),
        (["--config", "digits", "--init", "first", "--budget", "1h"], "so --config and --init and --budget cannot"),
    ],
)
def test_an_extension_has_its_recipe_and_weights_from_the_run(words, named):
    result = invoke("--extend", "runs/first", *words)
    assert result.exit_code == 2
    assert named in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--config", "digits", "--init", "missing"],
            "Error: Invalid model.init: received 'missing', expected",
        ),
        (["--config", "digits", "--labels", "missing"], "Error: Invalid folder missing: it does not exist, expected"),
        (["--extend", "missing"], "Error: missing is not a run folder: it holds no recipe.toml."),
    ],
)
def test_what_is_missing_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    result = invoke(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value", "setting"),
    [
        ("--epochs", "1", "train.epochs=3"),
        ("--batch-size", "64", "train.batch_size = 64"),
        ("--image-size", "8", "augment.size=16"),
        ("--encoder", "resnet18", "model.encoder=resnet50"),
    ],
)
def test_an_option_and_a_setting_of_one_thing_are_refused(option, value, setting):
    result = invoke("--config", "digits", option, value, "--set", setting, "--dry-run")
    assert result.exit_code == 2
    assert (
        f"Both {option} {value} and --set {setting} were given, which are of one setting. Leave one out."
        in " ".join(result.stderr.split())
    )


def test_another_recipe_in_a_run_folder_names_the_way_out(tmp_path):
    (tmp_path / "recipe.toml").write_text(dump_recipe(load_recipe("digits")))
    (tmp_path / "checkpoints" / "step-00000200").mkdir(parents=True)
    result = invoke("--config", "digits", "--run-dir", str(tmp_path), "--epochs", "99")
    assert result.exit_code == 1
    assert "train.epochs: 45 -> 99" in result.stderr
    assert f"barlowtf pretrain --extend {tmp_path} --set KEY=VALUE." in result.stderr


def info(before, after, **changes):
    result = {"knn_top1_before": before, "knn_top1": after, "loss": 1.0, "images_per_second_median": None}
    values = {
        "command": "",
        "versions": {},
        "machine": {"processor": "", "cores": 2, "system": ""},
        "devices": [],
        "replicas": 1,
        "git_commit": None,
        "status": "finished",
        "data": {"source": "digits", "images": 9, "fingerprint": ""},
        "steps": {"total": 9, "per_epoch": 3},
        "parameters": 9,
        "loss_terms": [],
        "result": result,
        **changes,
    }
    return RunInfo.model_validate_json(json.dumps(values))


INIT = {"init": {"spec": "runs/first", "sha256": "", "taken": ["encoder"], "adapted": []}}
PARENT = {"parent": {"run": "runs/first", "step": 9, "sha256": ""}}


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (info(0.7, 0.969), "kNN top-1   70.0 % (random encoder) -> 96.9 % (trained)"),
        (info(0.7, 0.969, **INIT), "kNN top-1   70.0 % (initial encoder) -> 96.9 % (trained)"),
        (info(0.7, 0.969, **PARENT), "kNN top-1   70.0 % (initial encoder) -> 96.9 % (trained)"),
        (info(None, 0.969), "kNN top-1   96.9 % (trained)"),
    ],
)
def test_accuracy_before_and_after_is_shown(made, line):
    text = _result_text(Path("runs/second"), made, made.result)
    assert line in text.splitlines()
    assert "lower" not in text


def test_harm_is_said_in_one_line():
    made = info(0.8, 0.1, **INIT)
    (line,) = [line for line in _result_text(Path("runs/second"), made, made.result).splitlines() if "lower" in line]
    assert line.strip() == ("70.0 points lower than before: by these labels the initial encoder is the better one.")


def test_the_verdict_and_its_notes_are_lines_of_the_result():
    verdict = RunVerdict(kind="flat", sentence="flat: enough.", notes=("No fault.",))
    made = info(0.7, 0.9)
    made = made.model_copy(update={"result": made.result.model_copy(update={"verdict": verdict})})
    lines = _result_text(Path("runs/second"), made, made.result).splitlines()
    assert "verdict     flat: enough." in lines and "note        No fault." in lines


def _result(**changes):
    made = info(0.8, 0.79)
    return made.model_copy(update={"result": made.result.model_copy(update=changes)})


def test_the_images_behind_the_accuracy_are_counted():
    def lines(**changes):
        made = _result(**changes)
        return _result_text(Path("runs/a"), made, made.result).splitlines()

    shown = "kNN top-1   80.0 % (random encoder) -> 79.0 % (trained)"
    assert f"{shown}, 360 test images" in lines(knn_images=360)
    # One point of 360 images is chance, of 100,000 it is not.
    assert "lower" not in "".join(lines(knn_images=360)) and "lower" in "".join(lines(knn_images=100_000))
    assert f"{shown}, 360 labeled images by the votes of the other half: there is no test split" in lines(
        knn_images=360, knn_halved=True
    )


def test_the_best_epoch_is_compared_with_the_last_one():
    def lines(**changes):
        made = _result(**changes)
        return _result_text(Path("runs/a"), made, made.result).splitlines()

    best = RunBest(measure="knn", step=_result().steps.per_epoch, value=0.85)
    line = "best        runs/a/best.keras, epoch 1: kNN top-1 85.0 %, and 79.0 % after the last epoch"
    assert line in lines(best=best)
    assert line.replace("kNN top-1 85.0 %, and 79.0 % after the last epoch", "lidar 0.85") in lines(
        best=best.model_copy(update={"measure": "lidar"})
    )
    assert any("s, 875.4 images/s in the steps alone" in line for line in lines(images_per_second_median=875.43))


@pytest.mark.parametrize("kind", ["improving", "changing", "flat"])
def test_a_run_that_improves_is_to_be_extended(kind):
    made = _result(verdict=RunVerdict(kind=kind, sentence="so.", notes=()))
    epochs = made.steps.total // made.steps.per_epoch
    lines = _result_text(Path("runs/a"), made, made.result).splitlines()
    report = "barlowtf report runs/a --out runs/a/report.html"
    if kind == "flat":
        assert lines[-1] == f"next        {report}"
    else:
        assert lines[-2:] == [f"next        barlowtf pretrain --extend runs/a --epochs {epochs}", f"{'':12}{report}"]


def test_records_of_before_are_read():
    made = json.loads(info(0.7, 0.9).model_dump_json())
    made["result"]["knn_top1_random_encoder"] = made["result"].pop("knn_top1_before")
    del made["init"], made["parent"]
    assert RunInfo.model_validate_json(json.dumps(made)).result.knn_top1_before == 0.7
