"""Searches against the arrays behind them, the page of thumbnails, and what is refused."""

import json
import re
import shutil

import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image

from barlowtf import experiment
from barlowtf.encoders.loading import load
from barlowtf.errors import CheckpointError, ConfigError, DataError
from barlowtf.experiment import SearchRequest
from barlowtf.models import make_encoder

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def place(thin_run, photographs, tmp_path_factory):
    """A run, class folders with names that HTML must escape, and their features in both formats."""
    folder = tmp_path_factory.mktemp("search")
    shutil.copytree(thin_run, folder / "run")
    shutil.copytree(photographs / "train" / "dark", folder / "images" / "<dark>")
    shutil.copytree(photographs / "train" / "light", folder / "images" / "light & bright")
    for form in ("parquet", "npy"):
        request = experiment.EmbedRequest(
            str(folder / "run"), str(folder / "images"), folder / form, file_format=form, part_rows=10
        )
        experiment.embed(request)
    shutil.copy(photographs / "val" / "light" / "0.png", folder / "<i>photo.png")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def test_the_most_similar_come_first(place):
    pixels = np.asarray(Image.open(place / "<i>photo.png"))[None]
    query, bank = load(str(place / "run")).features(pixels), np.load(place / "npy" / "features.npy")
    distance = 1 - (bank @ query[0]) / np.linalg.norm(bank, axis=1) / np.linalg.norm(query)
    words = ["search", str(place / "<i>photo.png"), "--k", "4", "--json", "--in"]
    for form in ("parquet", "npy"):
        result = CliRunner().invoke(main, [*words, str(place / form)])
        assert result.exit_code == 0, result.output
        (answer,) = json.loads(result.stdout)["queries"]
        matches = answer["matches"]
        np.testing.assert_allclose([match["distance"] for match in matches], np.sort(distance)[:4], atol=1e-5)
        assert [match["id"] for match in matches] == np.argsort(distance, kind="stable")[:4].tolist()
        assert matches[0]["path"] == str(place / "images" / matches[0]["label"] / matches[0]["path"].rpartition("/")[2])


def test_an_image_is_not_its_own_match(place):
    record = experiment.search(SearchRequest(place / "parquet", ids=(3, 20), matches=23))
    for answer, number in zip(record.queries, (3, 20), strict=True):
        assert answer.id == number
        assert sorted(match.id for match in answer.matches) == [other for other in range(24) if other != number]
    assert record.queries[1].label == "light & bright"
    with pytest.raises(CheckpointError, match="has no image 24"):
        experiment.search(SearchRequest(place / "parquet", ids=(24,)))


def test_the_page_needs_nothing_else(place, tmp_path):
    words = [str(place / "<i>photo.png"), str(place / "broken.png"), "--id", "0", "--in", str(place / "npy")]
    result = CliRunner().invoke(main, ["search", *words, "--k", "2", "--out", str(tmp_path / "sheet.html")])
    assert result.exit_code == 0, result.output
    assert re.search(r"unreadable  .*broken.png: ", result.stdout)
    page = (tmp_path / "sheet.html").read_text()
    assert "&lt;i&gt;photo.png" in page
    assert "<i>" not in page
    assert page.count('src="data:image/png;base64,') == page.count("<img") == 6
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []


def test_images_that_are_gone_have_numbers(place, tmp_path):
    moved = tmp_path / "features"
    shutil.copytree(place / "npy", moved)
    text = (moved / "_embed.json").read_text().replace(str(place / "images"), str(tmp_path / "gone"))
    (moved / "_embed.json").write_text(text)
    record = experiment.search(SearchRequest(moved, ids=(0,), matches=1, out=tmp_path / "sheet.html"))
    assert re.fullmatch(r"image \d+", record.queries[0].matches[0].path)
    assert (tmp_path / "sheet.html").read_text().count("cannot be read") == 2


def test_what_is_refused(place, thin_run, tmp_path):
    photo = str(place / "<i>photo.png")
    with pytest.raises(ConfigError, match="Nothing to look for"):
        experiment.search(SearchRequest(place / "npy"))
    with pytest.raises(DataError, match="Invalid photo none.png: it is no file"):
        experiment.search(SearchRequest(place / "npy", ["none.png"]))
    with pytest.raises(DataError, match="Cannot read any of 1 photos"):
        experiment.search(SearchRequest(place / "npy", [str(place / "broken.png")]))
    with pytest.raises(ConfigError, match="there is no folder"):
        experiment.search(SearchRequest(place / "npy", [photo], out=tmp_path / "none" / "a.html"))
    moved = tmp_path / "features"
    shutil.copytree(place / "npy", moved)
    text = (moved / "_embed.json").read_text()
    (moved / "_embed.json").write_text(text.replace(f'"{place / "run"}"', '"moved"'))
    with pytest.raises(CheckpointError, match="is not where they say. No encoder at moved.*Name it with --encoder"):
        experiment.search(SearchRequest(moved, [photo]))
    assert experiment.search(SearchRequest(moved, [photo], encoder=str(place / "run"))).rows == 24
    make_encoder("resnet10_w0p0625", image_shape=(8, 8, 1), seed=6).save(tmp_path / "other.keras")
    other = SearchRequest(moved, [photo], encoder=str(tmp_path / "other.keras"), config="digits")
    with pytest.raises(CheckpointError, match="is not the encoder of the features"):
        experiment.search(other)
