"""Numbered versions beside one another, whole or not there at all, and comparisons that judge them."""

import numpy as np
import pytest

from barlowtf.errors import ExportError
from barlowtf.export import FORMATS
from barlowtf.export.comparison import compare_outputs
from barlowtf.export.comparison import find_shortfall as shortfall_of
from barlowtf.export.versions import new_version, next_version


def find_shortfall(figures, precision):
    return shortfall_of(figures, precision, FORMATS["tflite"].least_agreement)


def next_of(out, name):
    return next_version(out, name, FORMATS[name])


def fill(out, version, name="model.keras"):
    with new_version(out, version) as aside:
        (aside / name).write_text("x")


def test_versions_go_beside_one_another(tmp_path):
    out = tmp_path / "new" / "exports"
    assert next_of(out, "saved-model") == 1
    fill(out, 1, "saved_model.pb")
    (out / "model.config").write_text("edited by hand")
    (out / "saved-model-1.json").write_text("{}")
    assert next_of(out, "saved-model") == 2
    fill(out, 12, "saved_model.pb")
    assert next_of(out, "saved-model") == 13
    assert sorted(path.name for path in out.iterdir()) == ["1", "12", "model.config", "saved-model-1.json"]


def test_nothing_is_left_after_an_error(tmp_path):
    out = tmp_path / "exports"
    with pytest.raises(RuntimeError), new_version(out, 1) as aside:
        (aside / "half").write_text("x")
        raise RuntimeError
    assert not out.exists()
    fill(out, 1)
    with pytest.raises(RuntimeError), new_version(out, 2):
        raise RuntimeError
    assert [path.name for path in out.iterdir()] == ["1"]


def test_a_version_that_has_come_meanwhile_stays(tmp_path):
    out = tmp_path / "exports"
    with pytest.raises(ExportError, match="Cannot write"), new_version(out, 1) as aside:
        (aside / "model.keras").write_text("late")
        (out / "1").mkdir()
        (out / "1" / "model.keras").write_text("early")
    assert (out / "1" / "model.keras").read_text() == "early"


def test_folders_in_use_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match="is a file"):
        next_of(tmp_path / "file", "keras")
    used = tmp_path / "used"
    used.mkdir()
    (used / "thesis.txt").write_text("x")
    with pytest.raises(ExportError, match=r"in use and holds thesis\.txt"):
        next_of(used, "keras")
    fill(tmp_path / "other", 1, "float16.tflite")
    with pytest.raises(ExportError, match="is an export to tflite, expected saved-model"):
        next_of(tmp_path / "other", "saved-model")


def outputs(logits, features=((3.0, 4.0), (1.0, 0.0))):
    return {"features": np.array(features, np.float32), "logits": np.array(logits, np.float32)}


def test_figures_by_hand():
    expected = outputs([[1, 2], [5, 0]])
    found = outputs([[2, 1.5], [5, 0.5]], features=((4.0, 3.0), (1.0, 0.0)))
    figures = compare_outputs(expected, found, np.array([1, 0]))
    assert figures["largest_difference"] == {"features": 1.0, "logits": 1.0}
    assert figures["largest_value"] == {"features": 4.0, "logits": 5.0}
    assert figures["least_cosine"] == pytest.approx(24 / 25)
    assert (figures["top1_agreement"], figures["top1_source"], figures["top1"]) == (0.5, 1.0, 0.5)
    assert "top1" not in compare_outputs(expected, found)
    bare = {"features": expected["features"]}
    assert "top1_agreement" not in compare_outputs(bare, bare)
    alone = compare_outputs({"probabilities": expected["logits"]}, {"probabilities": found["logits"]})
    assert (alone["images"], alone["top1_agreement"], "least_cosine" in alone) == (2, 0.5, False)


def test_what_falls_short():
    expected = outputs([[0, 1]] * 200, features=[[1.0, 2.0]] * 200)
    logits = np.array([[0, 1]] * 200, np.float32)
    for swapped, precision, short in (
        (0, "float16", False),
        (1, "float16", False),
        (2, "float16", True),
        (4, "int8", False),
        (5, "int8", True),
        (4, "dynamic-int8", False),
    ):
        found = logits.copy()
        found[:swapped] = found[:swapped, ::-1]
        figures = compare_outputs(expected, outputs(found, features=[[1.0, 2.0]] * 200))
        assert (find_shortfall(figures, precision) is not None) == short, (swapped, precision)
    assert "at least 98.0%" in find_shortfall(figures | {"top1_agreement": 0.5}, "int8")
    near = compare_outputs(expected, outputs(logits, features=[[1.0, 2.0019]] * 200))
    far = compare_outputs(expected, outputs(logits, features=[[1.0, 2.0021]] * 200))
    broken = compare_outputs(expected, outputs(logits, features=[[1.0, np.nan]] * 200))
    assert find_shortfall(near, "float32") is None
    assert "in features" in find_shortfall(far, "float32")
    assert find_shortfall(far, "float16") is None
    assert find_shortfall(broken, "float32") is not None
