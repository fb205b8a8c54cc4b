"""The encoder of a checkpoint by a given prefix, by general rules, and the messages where there is none."""

import numpy as np
import pytest

from barlowtf.convert import load_torch_weights, make_encoder_of, make_models_of
from barlowtf.convert.encoder_tensors import find_encoder
from barlowtf.convert.layouts import torchvision_names
from barlowtf.errors import ConversionError
from barlowtf.models import make_encoder
from tests.convert.checkpoints import assert_taken, at, children, copy, linear, sample


def test_a_prefix_takes_what_stands_behind_it(resnet_state):
    other = {name: value + 1 for name, value in resnet_state.items()}
    moco = sample("MoCo", resnet_state, 1)
    for prefix in ("module.encoder_k", "module.encoder_k.", "state_dict.module.encoder_k."):
        found = find_encoder(moco, prefix=prefix)
        assert_taken(found, other)
        assert found.prefix == "state_dict.module.encoder_k." and found.layout is None
        assert (
            "module.encoder_q.conv1.weight" in found.passed_over and "module.encoder_k.fc.0.bias" in found.passed_over
        )
    assert_taken(find_encoder(sample("DINO", resnet_state), prefix="student.module.backbone"), other)
    assert_taken(find_encoder(sample("Lightly", resnet_state, 2), prefix="backbone_momentum"), other)
    assert_taken(find_encoder(sample("timm", resnet_state, 1), prefix="state_dict"), other)
    assert_taken(find_encoder(sample("SwAV", resnet_state), prefix="module"), resnet_state)
    assert make_models_of(sample("Barlow Twins", resnet_state), prefix="module.backbone").projector is None
    encoder = make_encoder("resnet10_w0p0625", image_shape=(8, 8, 3), stem="imagenet")
    loaded = load_torch_weights(encoder, moco, prefix="module.encoder_k")
    assert loaded.prefix == "state_dict.module.encoder_k."
    np.testing.assert_array_equal(encoder.get_layer("bn1").gamma, other["bn1.weight"])
    with pytest.raises(ConversionError, match="1 tensors unknown: backbone.more.weight"):
        make_encoder_of(at("backbone.", resnet_state) | linear("backbone.more", bias=False), prefix="backbone")


@pytest.mark.parametrize(
    ("name", "prefix", "message"),
    [
        (
            *("MoCo", "module.encoder"),
            'received "module.encoder.", with which no tensor starts in the given dict, expected '
            '"state_dict.module.encoder_q." or "state_dict.module.encoder_k.". The first names: module.encoder_q.',
        ),
        ("MoCo", "module", 'received "module.", behind which there is no ResNet in'),
        ("DINO", "teacher", 'received "teacher.", behind which there is no ResNet in'),
        (
            *("DINO", "module.backbone."),
            'which is in 2 places in the given dict, expected "student.module.backbone." or "teacher.module.',
        ),
        (
            "timm",
            "",
            'received "", which is in 2 places in the given dict, expected "state_dict." or "state_dict_ema.".',
        ),
    ],
)
def test_a_prefix_that_is_none_names_those_that_are(resnet_state, name, prefix, message):
    checkpoint = sample(name, resnet_state, 0 if name == "DINO" else -1)
    with pytest.raises(ConversionError) as caught:
        make_models_of(checkpoint, prefix=prefix)
    assert str(caught.value).startswith("Invalid prefix: ") and message in str(caught.value)


def test_what_is_not_recognized(resnet_state):
    found = find_encoder({"net": at("student.trunk.", resnet_state), "epoch": 3, "best": np.array(1.0)})
    assert found.layout is None and found.prefix == "net.student.trunk."
    assert_taken(found, resnet_state)
    assert_taken(find_encoder({"net": {"resnet18_parameters": children(resnet_state)}}), resnet_state)
    assert_taken(
        find_encoder(
            {"online": at("model.backbone.", children(resnet_state)) | copy("target.", children(resnet_state))}
        ),
        resnet_state,
    )
    with pytest.raises(ConversionError, match=r'2 places, .* --prefix: "online\.module\." or "target\.module\."\.$'):
        find_encoder({"online": at("module.", resnet_state), "target": at("module.", resnet_state)})


def test_other_networks_are_refused_with_their_first_names(resnet_state):
    names = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.weight")
    transformer = {name: np.zeros(2) for name in names}
    student, teacher = at("module.backbone.", transformer), at("backbone.", transformer)
    checkpoint = {"student": student, "teacher": teacher, "dino_loss": {"center": np.zeros(1)}, "epoch": 1}
    with pytest.raises(ConversionError) as caught:
        make_encoder_of(checkpoint)
    message = str(caught.value)
    assert "holds no ResNet that barlowtf knows" in message
    assert "student: module.backbone.cls_token, module.backbone.pos_embed, " in message
    assert "; teacher: backbone.cls_token, " in message and message.endswith("; dino_loss: center.")
    with pytest.raises(ConversionError, match=r"no ResNet .* The first names: cls_token, pos_embed, patch_embed"):
        make_encoder_of({"state_dict": transformer})
    many = {str(number): {"weight": np.zeros(1)} for number in range(9)}
    with pytest.raises(ConversionError, match=r"5: weight; and 3 more dicts of tensors\.$"):
        find_encoder(many)


def test_two_names_that_are_one_are_a_fault(resnet_state):
    with pytest.raises(ConversionError, match=r"1 tensors unknown: conv1\.weight\."):
        make_encoder_of(children(resnet_state) | {"conv1.weight": resnet_state["conv1.weight"]})
    assert torchvision_names(["x.weight"]) == {"x.weight": "x.weight"}


def test_dicts_that_hold_themselves(resnet_state):
    checkpoint = {"net": {"deeper": at("module.", resnet_state)}}
    checkpoint["net"]["all"] = checkpoint
    checkpoint["net"]["again"] = checkpoint["net"]
    assert_taken(find_encoder(checkpoint), resnet_state)
