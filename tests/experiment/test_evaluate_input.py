"""Bad input of `barlowtf evaluate`: clear lines, and earlier results stay."""

import shutil

import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf.errors import CheckpointError, ConfigError, DataError
from barlowtf.models import make_encoder

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_bad_input_is_told_and_earlier_results_stay(evaluate, thin_run, photographs, tmp_path):
    before = evaluate(thin_run, tmp_path / "out", "knn")
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
        (DataError, {"source": str(flat)}, "The train images of .* have no labels"),
        (DataError, {"source": str(photographs / "train")}, "has no test split, which this protocol needs"),
        (DataError, {"source": str(halves)}, "The train images of .* have no labels"),
        (DataError, {"source": str(photographs), "subset": lacking}, "no example of 1 of 2 classes, e.g. light"),
        (
            DataError,
            {"source": str(photographs), "subset": strange},
            "6 of 6 lines name an image that is missing, e.g. x0.png, x1.png, x2.png",
        ),
        (CheckpointError, {"encoders": (str(tmp_path / "absent"),)}, "No encoder at .*absent. Expected a run folder"),
        (CheckpointError, {"encoders": (str(strange),)}, "is not an encoder"),
        (ConfigError, {"encoders": ("random",)}, "Add --config RECIPE, or a second --encoder with a run"),
        (ConfigError, {"subset_sha256": "0"}, "--subset-sha256: there is no list that it could belong to"),
        (ConfigError, {"overrides": ("aspect=[1.3,0.7]",)}, r"aspect is a range \[low, high\]"),
    ]
    for kind, options, message in cases:
        with pytest.raises(kind, match=message):
            evaluate(thin_run, tmp_path / "out", "linear" if "overrides" in options else "knn", **options)
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(thin_run / "recipe.toml", unfinished)
    with pytest.raises(CheckpointError, match="has no encoder.keras yet: it is not started"):
        evaluate(unfinished, tmp_path / "out", "knn")
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match="Cannot read .*damaged.keras"):
        evaluate(damaged, tmp_path / "out", "knn")
    make_encoder("resnet10_w0p0625", image_shape=(8, 12, 1), stem="small").save(tmp_path / "wide.keras")
    with pytest.raises(CheckpointError, match="wide.keras takes images of 8 x 12 pixels, expected square ones"):
        evaluate(
            None,
            tmp_path / "out",
            "knn",
            encoders=(str(tmp_path / "wide.keras"),),
            config=str(thin_run / "recipe.toml"),
        )
    assert evaluate(thin_run, tmp_path / "out", "knn") == before
    result = CliRunner().invoke(main, ["evaluate", "--protocol", "knn", "--encoder", "random"])
    assert (result.exit_code, "Missing --data" in result.stderr) == (1, True)
    assert CliRunner().invoke(main, ["evaluate", "--protocol", "knn", "--encoder", "x", "--seeds", "a"]).exit_code == 2
    result = CliRunner().invoke(main, ["evaluate", "--protocol", "lineal", "--encoder", "x"])
    assert (result.exit_code, "Did you mean 'linear'?" in result.stderr) == (2, True)


@pytest.mark.parametrize("content", ["{", "[]", '{"protocol": "knn"}', "null"])
def test_a_file_that_is_not_a_result_is_told_before_anything_is_measured(evaluate, thin_run, tmp_path, content):
    (tmp_path / "notes.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"notes\.json is not a valid Result: .* Or move it: .* is for results"):
        evaluate(thin_run, tmp_path, "knn")
    assert (tmp_path / "notes.json").read_text() == content
    assert not list(tmp_path.glob("knn-*"))
