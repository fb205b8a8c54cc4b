"""Images of 16 bits and several bands from a folder through a run, its evaluation, its features and its exports."""

import json

import numpy as np
import pytest
import tifffile

from barlowtf import data, encoders, experiment
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.models import make_encoder

BANDS = 5
SETTINGS = [
    f"data.channels={BANDS}",
    "data.depth=16",
    "data.white=4095",
    "augment.mean=[0.5]",
    "augment.std=[0.25]",
    "model.encoder=resnet10_w0p0625",
    "augment.size=8",
]
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def bands(tmp_path_factory):
    """TIFF files of five bands and 12 bits, two classes that differ in steps which eight bits do not show."""
    folder = tmp_path_factory.mktemp("bands")
    r = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for name, low in (("dark", 2048), ("light", 2055)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = r.integers(low, low + 4, (10 + number % 2, 12, BANDS), np.uint16)
                file = folder / split / name / f"{number}.tif"
                tifffile.imwrite(file, pixels, photometric="minisblack", planarconfig="contig")
    return folder


def test_an_encoder_sees_the_bits_of_its_recipe(bands, tmp_path):
    found = {}
    for depth in (8, 16):
        run = tmp_path / str(depth)
        run.mkdir()
        (run / "recipe.toml").write_text(dump_recipe(load_recipe("digits", [*SETTINGS, f"data.depth={depth}"])))
        make_encoder("resnet10_w0p0625", image_shape=(8, 8, BANDS), seed=5).save(run / "encoder.keras")
        encoder = encoders.load(str(run))
        source = data.open_source(str(bands), "train")
        views = data.center_views(
            source, np.arange(24), size=8, channels=BANDS, batch_size=24, rendering=encoder.rendering
        )
        (pixels,) = views
        # Twelve bits fill the range of either type.
        assert abs(pixels.numpy().mean() / pixels.dtype.max - 0.5) < 0.01
        found[depth] = encoder.features_of(views)
        stored = tifffile.imread(source.identify(0))
        np.testing.assert_allclose(encoder.features(stored[None]), found[depth][:1], atol=1e-5)
        assert (encoder.identity["depth"], encoder.identity["white"]) == (depth, 4095)
    # Of eight bits, seven twelve-bit steps are less than one.
    assert np.abs(found[8][:12].mean(0) - found[8][12:].mean(0)).max() < np.abs(found[16] - found[8]).max()


@pytest.mark.slow
def test_from_a_folder_to_features(bands, tmp_path, evaluate):
    facts = experiment.describe_data(str(bands))
    assert (facts.sample.channels, facts.sample.bits, facts.sample.white) == (BANDS, 16, 4095)
    assert "--set data.channels=5 --set data.depth=16 --set data.white=4095" in experiment.explain_data(facts)
    overrides = [*SETTINGS, f"data.source={bands}", "train.epochs=2", "train.batch_size=8", "optimizer.warmup_epochs=1"]
    run = tmp_path / "run"
    recipe = load_recipe("digits", [*overrides, "model.projector=[16,16]", "monitor.knn_every_epochs=1"])
    experiment.pretrain(experiment.PretrainRequest(recipe=recipe, run_dir=run))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("knn" in key for line in lines for key in line)
    (result,) = evaluate(run, tmp_path / "results", "knn", source=str(bands))
    assert result.encoder.depth == 16
    manifest = experiment.embed(experiment.EmbedRequest(str(run), str(bands), tmp_path / "features"))
    assert manifest.rows == 24 and manifest.encoder.white == 4095
