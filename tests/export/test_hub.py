"""A folder for model hubs: the weights under timm's names, what prepares images, and a card that tells the truth."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from barlowtf.config import load_recipe
from barlowtf.convert import state_dict_of
from barlowtf.convert.timm_state import assign_timm_state, timm_state
from barlowtf.data import short_side
from barlowtf.errors import ConversionError, ExportError
from barlowtf.export import FORMATS, Parts
from barlowtf.export.about import About, confidences_of_unknown, publishable_recipe
from barlowtf.export.format import Material, Replayed, write_class_names
from barlowtf.export.hub import hub_config, model_card, preprocessor_config, timm_model_of
from barlowtf.export.verification import source_outputs
from barlowtf.models import make_encoder, make_head
from tests.export.conftest import randomized

HUB = FORMATS["hub"]
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def parts_of(name, size=64, *, channels=3, head=True, stem="imagenet"):
    encoder = randomized(make_encoder(name, image_shape=(size, size, channels), stem=stem))
    width = encoder.output_shape[-1]
    names = ("a|b", "café") if head else None
    return Parts(
        encoder, randomized(make_head(width, 2)) if head else None, None, size, MEAN[:channels], STD[:channels], names
    )


@pytest.fixture(scope="module")
def resnet():
    return parts_of("resnet10")


@pytest.fixture(scope="module")
def transformer():
    return parts_of("vit_ti8", 16, stem="auto")


def material_of(parts, **changes):
    settings = HUB.settings.model_validate({"license": "apache-2.0"})
    return Material(parts, "birds", [], (), lambda: None, settings=settings, **changes)


def test_a_resnets_tensors_are_torchvisions(resnet):
    state = timm_state(timm_model_of(resnet), resnet.head)
    expected = state_dict_of(resnet.encoder, head=resnet.head)
    assert state.keys() == expected.keys()
    assert all(np.array_equal(state[name], value) for name, value in expected.items())


def normalized(x, weight, bias):
    deviation = np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return (x - x.mean(-1, keepdims=True)) / deviation * weight + bias


def timm_forward(state, images, *, heads, side):
    """What timm's VisionTransformer computes without class token, by loops over heads; images [N, C, S, S]."""
    count, channels, size, _ = images.shape
    rows = size // side
    patches = images.reshape(count, channels, rows, side, rows, side).transpose(0, 2, 4, 1, 3, 5)
    kernel = state["patch_embed.proj.weight"]
    x = patches.reshape(count, rows**2, -1) @ kernel.reshape(len(kernel), -1).T + state["patch_embed.proj.bias"]
    x = x + state["pos_embed"]
    width = x.shape[-1]
    erf = np.vectorize(math.erf)
    for number in range(12):

        def linear(y, name, block=number):
            return y @ state[f"blocks.{block}.{name}.weight"].T + state[f"blocks.{block}.{name}.bias"]

        def norm(y, name, block=number):
            return normalized(y, *(state[f"blocks.{block}.{name}.{kind}"] for kind in ("weight", "bias")))

        query, key, value = np.split(linear(norm(x, "norm1"), "attn.qkv"), 3, axis=-1)
        joined = np.empty_like(query)
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            scores = query[..., part] @ key[..., part].transpose(0, 2, 1) * (width / heads) ** -0.5
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            joined[..., part] = shares / shares.sum(-1, keepdims=True) @ value[..., part]
        x = x + linear(joined, "attn.proj")
        y = linear(norm(x, "norm2"), "mlp.fc1")
        x = x + linear(y * (1 + erf(y / np.sqrt(2))) / 2, "mlp.fc2")
    return normalized(x, state["norm.weight"], state["norm.bias"]).mean(axis=1)


def test_a_transformers_tensors_give_its_features_by_timms_rules(transformer):
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    state = {name: value.astype(np.float64) for name, value in timm_state(timm_model_of(transformer)).items()}
    found = timm_forward(state, images.transpose(0, 3, 1, 2).astype(np.float64), heads=3, side=8)
    features = np.asarray(transformer.encoder(images, training=False))
    # float32 sums against float64 ones.
    assert np.abs(found - features).max() < 1e-4 * np.abs(features).max()


@pytest.mark.parametrize("name", ["resnet", "transformer"])
def test_tensors_come_back(name, request):
    parts = request.getfixturevalue(name)
    model = timm_model_of(parts)
    state, before = timm_state(model, parts.head), parts.encoder.get_weights()
    for weight in parts.encoder.weights:
        weight.assign(np.zeros(weight.shape))
    assign_timm_state(model, state)
    assert all(np.array_equal(was, now) for was, now in zip(before, parts.encoder.get_weights(), strict=True))
    wrong = dict(state)
    wrong.pop(next(iter(model.weights)))
    with pytest.raises(ConversionError, match="1 tensors are not those of"):
        assign_timm_state(model, wrong)


@pytest.mark.parametrize(
    ("name", "architecture", "arguments"),
    [
        ("resnet18", "resnet18", {}),
        ("resnet10", "resnet18", {"layers": [1, 1, 1, 1]}),
        ("resnet34", "resnet34", {}),
        ("vit_s8", "vit_small_patch16_224", {"img_size": 64, "patch_size": 8}),
    ],
)
def test_the_name_in_timm(name, architecture, arguments):
    parts = parts_of(name, channels=1, head=False, stem="imagenet" if "resnet" in name else "auto")
    model = timm_model_of(parts)
    assert model.architecture == architecture
    assert arguments.items() <= model.arguments.items()
    assert model.arguments["in_chans"] == 1


@pytest.mark.parametrize(
    ("name", "stem", "reason"),
    [
        ("resnet10", "small", "3x3 and 64 channels, expected 7x7 and 64"),
        ("resnet10_w0p5", "imagenet", "7x7 and 32 channels"),
        ("keras:MobileNetV3Small", "auto", "no counterpart in timm"),
    ],
)
def test_what_timm_has_not_is_refused_before_anything_is_written(name, stem, reason):
    encoder = make_encoder(name, image_shape=(64, 64, 3), stem=stem)
    with pytest.raises(ExportError, match=reason):
        HUB.check(material_of(Parts(encoder, None, None, 64, MEAN, STD, None)))


def test_a_folder_is_written_and_read_back(transformer, tmp_path):
    views = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    files = HUB.write(material_of(transformer), tmp_path)
    assert files == {"model.safetensors": "float32"}
    found = HUB.read(str(tmp_path / "model.safetensors"), {})
    expected = source_outputs(transformer, views)
    replayed = Replayed(tmp_path / "model.safetensors", transformer, views, None, expected, found)
    figures = HUB.compare(replayed)
    assert max(figures["largest_difference"].values()) < 1e-5 * figures["largest_value"]["logits"]
    assert figures["top1_agreement"] == 1.0
    name = next(name for name in found if name.endswith("qkv.weight"))
    changed = replace(replayed, found={**found, name: -found[name]})
    assert HUB.compare(changed)["largest_difference"]["features"] > 0.01
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == hub_config(transformer)
    assert config["label_names"] == ["a|b", "café"]
    assert config["num_classes"] == 2
    assert "num_classes" not in config["model_args"]
    assert (tmp_path / "class_names.txt").exists()


@pytest.mark.parametrize("size", [*range(24, 400, 8), 97, 111])
def test_timm_finds_the_short_side(resnet, size):
    share = hub_config(replace(resnet, size=size))["pretrained_cfg"]["crop_pct"]
    assert math.floor(size / share) == short_side(size)
    assert preprocessor_config(replace(resnet, size=size))["size"] == {"shortest_edge": short_side(size)}


def test_the_card_says_what_is_known_and_no_more(resnet):
    recipe = load_recipe("digits", ["data.source='/home/ada/photos'", "model.init='/home/ada/old.keras'"])
    about = About("2026-11-27", {"barlowtf": "1"}, "resnet10", run="night", recipe=recipe, confidences={"noise": 0.875})
    card = model_card(material_of(resnet, about=about))
    assert card.startswith('---\nlicense: "apache-2.0"\n')
    assert "/home/ada" not in card
    assert 'source = "photos"' in card
    assert 'init = "old.keras"' in card
    assert "0.88 for noise" in card
    assert "None was taken of this encoder." in card
    bare = model_card(replace(material_of(resnet), settings=HUB.settings(), about=About()))
    assert 'license: "unknown"' in bare
    assert "Not stated." in bare
    assert "not known" in bare


def test_a_license_is_one_word():
    with pytest.raises(ExportError, match="received license=.*, expected license of the weights, as hubs write it"):
        HUB.chosen_settings("hub", {"license": "ours\npipeline_tag: other"})


def test_own_files_lose_their_folders_too():
    recipe = load_recipe("digits", ["data.source='tfrecord:/data/x-*.tfrecord'"])
    assert 'source = "tfrecord:x-*.tfrecord"' in publishable_recipe(recipe)


def test_what_a_classifier_says_of_unknown_images(resnet):
    confidences = confidences_of_unknown(resnet)
    assert confidences.keys() == {"noise", "black", "white", "gray"}
    assert all(0.5 <= value <= 1.0 for value in confidences.values())
    assert confidences_of_unknown(replace(resnet, head=None, class_names=None)) == {}


def test_names_bring_no_markup_into_the_card(resnet):
    """A folder may be called so, and a class is often called as its folder."""
    evil = "a\n---\nlicense: mine\n<img src=x>"
    parts = replace(resnet, encoder=resnet.encoder, class_names=(evil, "[b](http://c)"))
    card = model_card(replace(material_of(parts), name="birds\n<script>"))
    assert "\n# birds &lt;script&gt;\n" in card
    assert "in the order of the logits: a --- license: mine &lt;img src=x&gt;, \\[b\\](http://c).\n" in card
    assert card.count("\n---\n") == 1


@pytest.mark.parametrize("license_name", ["no", "null", "1.0", "2020-01-01"])
def test_a_license_is_text_in_yaml(resnet, license_name):
    material = replace(material_of(resnet), settings=HUB.chosen_settings("hub", {"license": license_name}))
    assert model_card(material).startswith(f'---\nlicense: "{license_name}"\n')


def test_images_that_are_no_pictures_are_not_read_as_gray_ones():
    card = model_card(material_of(parts_of("resnet10", 32, channels=4)))
    assert "convert(" not in card and "PIL" not in card and "AutoImageProcessor" not in card.split("## Data")[0]
    assert card.count("torch.zeros(1, 4, 32, 32)") == 2


def test_each_class_is_one_line_of_its_file(resnet, tmp_path):
    names = ("a\nb", "c\r\u2028d\x00\x85", "né \u200d")
    write_class_names(replace(resnet, class_names=names), tmp_path)
    text = (tmp_path / "class_names.txt").read_text(encoding="utf-8")
    assert text == "a\\nb\nc\\r\\u2028d\\x00\\x85\nné \u200d\n" and len(text.splitlines()) == 3
