"""Drift between folders of features, from embedding to the line that says it, and what is refused."""

import json
import re
import shutil

import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image

from barlowtf import experiment
from barlowtf.encoders.feature_folder import open_features
from barlowtf.errors import CheckpointError, ConfigError, DataError
from barlowtf.experiment import DriftRequest
from barlowtf.models import make_encoder

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def place(thin_run, tmp_path_factory):
    """Features of four folders of small images: reference, more of the same, brighter ones, and few."""
    folder = tmp_path_factory.mktemp("drift")
    r = np.random.default_rng(0)
    for name, count, low in (("reference", 60, 0), ("same", 40, 0), ("brighter", 40, 60), ("few", 19, 0)):
        (folder / name / "cells").mkdir(parents=True)
        for number in range(count):
            pixels = r.integers(low, low + 120, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / name / "cells" / f"{number:02}.png")
        form = "npy" if name == "same" else "parquet"
        request = experiment.EmbedRequest(
            str(thin_run), str(folder / name), folder / "features" / name, file_format=form, part_rows=25
        )
        experiment.embed(request)
    return folder / "features"


def call(*words):
    return CliRunner().invoke(main, ["drift", *map(str, words)])


def features_of(folder):
    bank = open_features(folder).features
    return np.concatenate([bank[start : start + 10] for start in range(0, bank.shape[0], 10)])


def test_more_of_the_same_images_show_no_drift(place):
    """One folder is Parquet, the other npy."""
    result = call(place / "reference", place / "same", "--fail-on-drift")
    assert result.exit_code == 0, result.output
    assert "verdict     no drift shown: " in result.stdout
    assert re.search(
        r"^reference   60 images of reference, train \(.*\); 30 in each draw$", result.stdout, re.MULTILINE
    )
    assert len(re.findall(r"^Fréchet distance|^kernel distance|^coverage|^familiar", result.stdout, re.MULTILINE)) == 4


def test_brighter_images_have_drifted(place):
    result = call(place / "reference", place / "brighter", "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["drifted"] and record["verdict"].startswith("drifted: Fréchet distance ")
    assert "5 tests, together at the level 0.05" in record["verdict"]
    assert record["permutation_p"] == 0.001
    measures = {measure["name"]: measure for measure in record["measures"]}
    assert measures["frechet"]["drifted"] and measures["frechet"]["value"] > measures["frechet"]["limit"]
    assert measures["familiar"]["drifted"] and measures["familiar"]["value"] < measures["familiar"]["limit"]
    failed = call(place / "reference", place / "brighter", "--fail-on-drift")
    assert failed.exit_code == 1
    assert failed.stdout.splitlines()[-1] == f"verdict     {record['verdict']}"


def test_the_farthest_images_are_named(place):
    record = experiment.drift(DriftRequest(place / "reference", place / "brighter"))
    known, new = features_of(place / "reference"), features_of(place / "brighter")
    distances = np.sort(np.linalg.norm(new[:, None] - known[None], axis=2), axis=1)[:, 9] / record.spread
    order = np.argsort(-distances, kind="stable")[:10]
    assert [image.id for image in record.farthest] == order.tolist()
    # Squares are summed in float32.
    np.testing.assert_allclose([image.distance for image in record.farthest], distances[order], rtol=1e-3)
    first = record.farthest[0]
    assert first.path.endswith(f"brighter/cells/{first.id:02}.png") and first.novelty == 1.0
    assert record.unlike >= 10


def test_the_same_folder_twice_is_no_drift(place):
    record = experiment.drift(DriftRequest(place / "reference", place / "reference"))
    assert record.same_images and not record.drifted
    assert record.verdict == "no drift shown: both folders hold the features of the same images."


def test_a_seed_decides_everything(place):
    request = DriftRequest(place / "reference", place / "same", samples=20, seed=3)
    first, second = (experiment.drift(request).model_copy(update={"seconds": 0.0}) for _ in range(2))
    assert first == second
    assert (first.reference.sampled, first.reference.drawn, first.new.sampled) == (40, 20, 40)
    other = experiment.drift(DriftRequest(place / "reference", place / "same", samples=20, seed=4))
    assert other.measures != first.measures


def test_what_is_refused(place, tmp_path):
    for words, message in (
        ((place / "few", place / "same"), "received 19, expected at least 50: "),
        ((place / "reference", place / "few"), "received 19, expected at least 20: "),
    ):
        with pytest.raises(DataError, match=f"Too few images in .*: {message}"):
            experiment.drift(DriftRequest(*words))
    with pytest.raises(ConfigError, match="Invalid resamples: received 100, expected at least 499"):
        experiment.drift(DriftRequest(place / "reference", place / "same", level=0.01))
    with pytest.raises(ConfigError, match="Invalid level: received nan, expected between 0 and 1"):
        experiment.drift(DriftRequest(place / "reference", place / "same", level=float("nan")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no features"):
        experiment.drift(DriftRequest(place / "reference", tmp_path / "empty"))
    result = call(place / "reference", place / "sam", "--json")
    assert result.exit_code == 1
    assert f"Did you mean '{place / 'same'}'?" in json.loads(result.stdout)["error"]["message"]


def test_features_that_cannot_be_compared_are_refused(place, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(place / "same", damaged)
    features = np.load(damaged / "features.npy")
    features[7, 3] = np.nan
    np.save(damaged / "features.npy", features)
    with pytest.raises(CheckpointError, match="holds features that are not finite"):
        experiment.drift(DriftRequest(place / "reference", damaged))
    (damaged / "_embed.json").write_text("{")
    with pytest.raises(CheckpointError, match="_embed.json is not a valid EmbedManifest"):
        experiment.drift(DriftRequest(place / "reference", damaged))
    equal = tmp_path / "equal"
    shutil.copytree(place / "same", equal)
    (equal / "_embed.json").write_text((equal / "_embed.json").read_text().replace(": 40", ": 60"))
    np.save(equal / "features.npy", np.ones((60, features.shape[1]), np.float32))
    np.save(equal / "ids.npy", np.arange(60))
    np.save(equal / "labels.npy", np.zeros(60, np.int64))
    with pytest.raises(DataError, match="All features in .* are equal"):
        experiment.drift(DriftRequest(equal, place / "same"))


def test_features_of_another_encoder_are_refused(place, tmp_path):
    make_encoder("resnet10_w0p0625", image_shape=(8, 8, 1), seed=6).save(tmp_path / "other.keras")
    request = experiment.EmbedRequest(
        str(tmp_path / "other.keras"), str(place.parent / "same"), tmp_path / "other", config="digits"
    )
    experiment.embed(request)
    with pytest.raises(CheckpointError, match="belong to another encoder: received .*other.keras with weights"):
        experiment.drift(DriftRequest(place / "reference", tmp_path / "other"))
