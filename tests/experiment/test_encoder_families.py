"""Each kind of encoder: pre-trained, taken up again bit for bit, measured, written in every format and read back.

One member of each entry of the table; `benchmarks/encoders.py` goes the same way with one of each architecture, exports
read by fresh processes.
"""

import re

import numpy as np
import pytest

from barlowtf import experiment
from barlowtf.config import load_recipe
from barlowtf.encoders.building import check_encoder
from barlowtf.errors import ConfigError, ExportError
from barlowtf.experiment.plan import plan
from barlowtf.export.format import Material, Replayed
from barlowtf.export.origins import open_origin
from barlowtf.export.samples import open_sample
from barlowtf.export.verification import source_outputs
from barlowtf.tables import ENCODERS, FORMATS
from benchmarks.encoders import differing_values, recipe_settings, take_up_again, write_photographs

TRIED = ("resnet10_w0p25", "keras:MobileNetV3Small", "vit_ti4")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "photographs"
    write_photographs(folder)
    return folder


def test_each_entry_of_the_table_is_tried():
    for kind in ENCODERS.values():
        assert any(re.fullmatch(kind.pattern, name) for name in TRIED)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_an_encoder_goes_the_whole_way(name, photographs, tmp_path):
    recipe = load_recipe("digits", recipe_settings(name, photographs))
    run, again = tmp_path / "run", tmp_path / "again"
    assert experiment.pretrain(experiment.PretrainRequest(recipe, run)).status == "finished"
    take_up_again(run, again)
    experiment.pretrain(experiment.PretrainRequest(recipe, again))
    assert differing_values(run, again) == 0

    (result,) = experiment.evaluate(
        experiment.EvaluateRequest(("knn",), (str(run),), str(photographs), overrides=("knn.neighbors=[3]",))
    )
    assert 0.0 <= result.scores["top1"] <= 1.0

    origin = open_origin(str(run))
    sample = open_sample(str(photographs), origin.encoder, 16)
    expected = source_outputs(origin.parts, sample.views)
    inputs = {"views": sample.views, "encoded": np.frombuffer(b"".join(sample.encoded), np.uint8)}
    inputs["lengths"] = np.array([len(content) for content in sample.encoded])
    for form_name, form in FORMATS.items():
        # Quantizing the others takes a minute each; benchmarks/encoders.py does it.
        wanted = ("float32", "int8") if name.startswith("resnet") else ("float32",)
        variants = tuple(variant for variant in wanted if variant in form.variants)
        encoded, settings = sample.encoded[:2], form.settings()
        material = Material(origin.parts, "encoder", encoded, variants, lambda: sample.views, settings=settings)
        # timm and KerasHub have no ResNet with the first layers for small images.
        refused = {"torch": not name.startswith("resnet"), "hub": not name.startswith("vit"), "keras-hub": True}.get(
            form_name, False
        )
        if refused:
            with pytest.raises(ExportError, match="cannot be written for PyTorch|no counterpart in"):
                form.check(material)
            continue
        if form_name == "torch":
            continue
        folder = tmp_path / form_name
        folder.mkdir()
        for file, precision in form.write(material, folder).items():
            found = form.read(str(folder / file), inputs)
            found.pop("milliseconds", None)
            figures = form.compare(Replayed(folder / file, origin.parts, sample.views, None, expected, found, settings))
            difference = figures["largest_difference"]["features"] / figures["largest_value"]["features"]
            if precision == "float32":
                assert difference < 1e-4, form_name
            else:
                assert figures["least_cosine"] > 0.9, precision


def recipe_of(name, *settings):
    return load_recipe("digits", [f"model.encoder={name}", "model.stem=auto", "augment.size=32", *settings])


@pytest.mark.parametrize("call", [experiment.pretrain, plan])
def test_lars_is_refused_for_transformers_before_anything_starts(call, tmp_path):
    recipe = recipe_of("vit_ti4", "optimizer.name=lars", "data.source=missing")
    with pytest.raises(
        ConfigError, match="received lars for the encoder vit_ti4, expected lamb, adamw, sgd, torch_sgd: .*1912"
    ):
        call(experiment.PretrainRequest(recipe, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    check_encoder(recipe_of("vit_ti4"))
    check_encoder(recipe_of("keras:MobileNetV3Small", "optimizer.name=lars"))


def test_stems_are_those_of_the_kind():
    for settings, message in (
        (["model.encoder=vit_ti4", "model.stem=small"], 'received "small" for the encoder vit_ti4, expected "auto"'),
        (
            ["model.encoder=resnet18", "model.stem=auto", "augment.test_size=20"],
            "expected imagenet, small, small_padded, half where",
        ),
        (["model.encoder=vgg19"], 'received "vgg19", expected resnet10 to resnet200; .*keras:NAME, .*vit_ti16'),
    ):
        with pytest.raises(ConfigError, match=message):
            check_encoder(load_recipe("digits", [*settings]))
    # Views and tests of two sizes, for an encoder with first layers of its own.
    check_encoder(recipe_of("vit_ti4", "augment.test_size=20"))
