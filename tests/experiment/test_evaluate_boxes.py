"""`barlowtf evaluate` on images with boxes: what fits them, other test images, the picture, refusals."""

import json

import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf.config import dump_recipe, load_recipe
from barlowtf.errors import ConfigError, DataError
from barlowtf.evaluation import fitting_variant
from barlowtf.experiment import ReportRequest, report
from barlowtf.models import make_encoder
from tests.data.objects_on_disk import coco, thing, write_coco, write_voc

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CAT, DOG = ("cat", (1, 1, 16, 9), False), ("dog", (3, 2, 9, 8), False)
TINY = (
    "steps=1",
    "drops=[1]",
    "short_sides=[32]",
    "test_short_side=32",
    "anchor_sizes=[16]",
    "anchors_sampled=8",
    "candidates=[20,20]",
    "proposals=[8,8]",
    "regions=8",
    "detections=4",
    "measure=voc",
)


@pytest.fixture
def cells(tmp_path):
    images = {"a": [DOG, CAT], "b": [CAT], "c": [CAT], "d": [DOG]}
    return write_voc(tmp_path / "cells", {"trainval": ["b", "a", "c"], "test": ["d"]}, images)


def test_a_detector_of_small_data_leaves_a_picture_that_the_report_shows(
    evaluate, thin_run, cells, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("recipe.toml", "encoder.keras"):
        (run / name).write_bytes((thin_run / name).read_bytes())
    (result,) = evaluate(run, None, "detection", source=str(cells), overrides=TINY)
    assert result.variant == "small" and result.data.test_source is None
    assert (run / "results" / result.sheet).read_bytes()[:2] == b"\xff\xd8"
    report(ReportRequest([run], tmp_path / "page.html", images=2))
    page = (tmp_path / "page.html").read_text()
    assert 'class="sheet" src="data:image/jpeg;base64,' in page and "Test images, trained, seed 0" in page


def test_other_test_images(thin_run, tmp_path):
    train = write_voc(tmp_path / "cells", {"trainval": ["a", "b", "c"]}, {"a": [DOG, CAT], "b": [CAT], "c": [CAT]})
    other = tmp_path / "other"
    write_coco(other, coco([thing(11, 3, (1, 1, 9, 6))], categories=((3, "dog"),)))
    words = ["evaluate", "--protocol", "detection", "--encoder", str(thin_run), "--data", str(train)]
    words += [word for setting in TINY for word in ("--set", setting)] + ["--out", str(tmp_path / "out")]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 1 and "name test images with --eval-data" in refused.stderr
    made = CliRunner().invoke(main, [*words, "--eval-data", str(other), "--json"])
    assert made.exit_code == 0, made.stderr
    (result,) = json.loads(made.stdout)["results"]
    assert result["data"]["test_source"] == str(other) and result["data"]["test_images"] == 2
    assert result["published"] is None
    assert "| detection (small) * | cells, tested on other | 3 | AP |" in (tmp_path / "out" / "table.md").read_text()


def test_protocols_that_do_not_fit_the_data_name_the_one_that_does(
    evaluate, thin_run, cells, photographs, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    with pytest.raises(DataError, match="have no labels.* For these images: --protocol detection."):
        evaluate(thin_run, out, "linear", source=str(cells))
    monkeypatch.setattr("barlowtf.evaluation.detecting.make_detector", None)
    with pytest.raises(DataError, match="have no labels.* For these images: --protocol detection."):
        config = str(thin_run / "recipe.toml")
        evaluate(None, out, "detection", "linear", source=str(cells), encoders=("random",), config=config)
    with pytest.raises(DataError, match="No class lists in .* For these images: --protocol detection."):
        evaluate(thin_run, out, "voc07", source=str(cells))
    with pytest.raises(DataError, match="No boxes in .* For these images: --protocol linear-fast."):
        evaluate(thin_run, out, "detection", source=str(photographs))
    with pytest.raises(DataError, match="has boxes and no classes of whole images.* Add --protocol detection."):
        evaluate(thin_run, out, source=str(cells))
    with pytest.raises(ConfigError, match="Invalid --eval-data .*: protocol knn tests on the test images of --data"):
        evaluate(thin_run, out, "knn", source=str(photographs), test_source=str(photographs))


def test_encoders_that_are_no_resnet_are_refused_before_images_are_read(evaluate, cells, tmp_path, monkeypatch):
    recipe = load_recipe("digits", ["augment.size=16", "model.encoder=vit_ti16", "model.stem=auto"])
    file = tmp_path / "vit.toml"
    file.write_text(dump_recipe(recipe))
    make_encoder("vit_ti16", image_shape=(16, 16, 1)).save(tmp_path / "vit.keras")
    monkeypatch.setattr("barlowtf.evaluation.object_splits.open_objects", None)
    for encoder in (str(tmp_path / "vit.keras"), "random"):
        with pytest.raises(ConfigError, match="has no stages conv4 and conv5, expected a ResNet. Give the run of a"):
            evaluate(None, tmp_path / "out", "detection", encoders=(encoder,), source=str(cells), config=str(file))
    with pytest.raises(ConfigError, match="pixels .kind pixels. cannot be trained"):
        evaluate(None, tmp_path / "out", "detection", encoders=("pixels",), source=str(cells), config=str(file))


def test_the_variant_follows_the_number_of_training_images(cells, monkeypatch):
    assert fitting_variant(str(cells)) == "small"
    # Of four images three are training images.
    monkeypatch.setattr("barlowtf.evaluation.fitting._SMALL_DATA", 4)
    assert fitting_variant(str(cells)) == "small"
    monkeypatch.setattr("barlowtf.evaluation.fitting._SMALL_DATA", 3)
    assert fitting_variant(str(cells)) is None
