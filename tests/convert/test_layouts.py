"""Layouts of other projects: which encoder is taken, what is passed over, and what is refused."""

import logging

import numpy as np
import pytest

from barlowtf.convert import load_torch_weights, make_encoder_of, make_models_of
from barlowtf.convert.encoder_tensors import find_encoder
from barlowtf.convert.layouts import LAYOUTS
from barlowtf.encoders import load
from barlowtf.encoders.initial import open_origin
from barlowtf.errors import ConversionError
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.models.stems import stem_of
from tests.convert.checkpoints import SAMPLES, assert_taken, at, epoch, linear, mlp, normalization, sample


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_trained_encoder_of_each_layout(resnet_state, layout):
    """An entry of the table without a sample fails."""
    for number, checkpoint in enumerate(SAMPLES[layout.name](resnet_state)):
        found = find_encoder(checkpoint)
        assert found.layout == layout.name, number
        assert_taken(found, resnet_state)
        # The prefix that is told is one that can be given.
        assert_taken(find_encoder(checkpoint, prefix=found.prefix), resnet_state)
        assert find_encoder(checkpoint, prefix=found.prefix).layout is None


def test_every_sample_belongs_to_an_entry():
    assert [*SAMPLES] == [layout.name for layout in LAYOUTS]


def test_what_looks_like_a_layout_and_lacks_a_sign_of_it(resnet_state):
    for checkpoint, layout in (
        ({"model": at("backbone.", resnet_state) | normalization("bn", affine=False)}, None),  # Barlow Twins
        ({"model": at("backbone.", resnet_state) | linear("projector.0", bias=False)}, None),  # Barlow Twins, VICReg
        ({"state_dict": at("backbone.", resnet_state) | mlp("projection_head")}, None),  # solo-learn, Lightly
        ({"state_dict": at("base_encoder.", resnet_state) | mlp("predictor")}, None),  # MoCo v3
        ({"state_dict": at("encoder.", resnet_state) | mlp("predictor")}, None),  # SimSiam
        ({"state_dict": at("encoder.", resnet_state) | mlp("encoder.fc")}, None),  # SimSiam
        ({"teacher": at("backbone.", resnet_state) | mlp("projector")}, None),  # DINO
        (epoch(resnet_state, best_acc1=1.0), "torchvision"),  # the ImageNet example
        (epoch(resnet_state | linear("fc")), "torchvision"),  # the ImageNet example, timm
    ):
        found = find_encoder(checkpoint)
        assert found.layout == layout
        assert_taken(found, resnet_state)


def test_the_encoder_that_is_made_computes_the_same_features(resnet, resnet_state):
    images = np.random.default_rng(2).standard_normal((2, 33, 40, 3)).astype(np.float32)
    expected = resnet(images, training=False)
    for name in ("Lightly", "VISSL"):
        for checkpoint in SAMPLES[name](resnet_state):
            made = make_encoder_of(checkpoint)
            assert made.name == resnet.name
            np.testing.assert_array_equal(made(images, training=False), expected)


HEADS = {
    ("SwAV", 0): {"module.projection_head", "module.prototypes"},
    ("SwAV", 2): {"module.projection_head", "module.prototypes"},
    ("MoCo", 1): {"module.encoder_q.fc", "module.encoder_k", "module.queue"},
    ("MoCo v3", 0): {"module.base_encoder.fc", "module.momentum_encoder", "module.predictor"},
    ("SimSiam", 0): {"module.encoder.fc", "module.predictor"},
    ("solo-learn", 0): {"projector", "classifier"},
    ("DINO", 0): {"module.head"},
    ("VICReg", 0): {"module.projector"},
    ("timm", 0): {"fc"},
}


@pytest.mark.parametrize(("name", "number"), HEADS)
def test_heads_and_copies_are_passed_over_by_name(resnet_state, name, number):
    models = make_models_of(sample(name, resnet_state, number))
    assert models.layout == name and models.projector is None
    passed_over = [tensor for tensor in models.passed_over if not tensor.endswith("tracked")]
    heads = HEADS[name, number]
    assert all(any(tensor.startswith(head) for tensor in passed_over) for head in heads)
    assert all(tensor.startswith(tuple(heads)) for tensor in passed_over)


def test_the_projector_of_the_authors_model_alone_is_made(resnet_state):
    assert make_models_of(sample("Barlow Twins", resnet_state)).projector.output_shape == (None, 4)
    # Of a program that nobody knows, one with biases is another projector, too.
    unknown = {"net": at("backbone.", resnet_state) | mlp("projector")}
    assert make_models_of(unknown).projector is None
    without = {"net": at("backbone.", resnet_state) | linear("projector.0", bias=False)}
    assert make_models_of(without).projector.output_shape == (None, 4)


@pytest.mark.parametrize("stem", ["conv1.0.weight", "stem.0.weight"])
def test_a_deep_stem_is_refused_by_name(resnet_state, stem):
    deep = {name: value for name, value in resnet_state.items() if name != "conv1.weight"}
    deep |= {stem: np.zeros((2, 3, 3, 3)), stem.replace("0", "3"): np.zeros((2, 2, 3, 3))}
    for checkpoint in (deep, epoch(deep, version=2), {"state_dict": at("backbone.", deep), "meta": {}}):
        with pytest.raises(
            ConversionError, match=rf"stem has several convolutions, .* does not have: .*{stem}\. Expected"
        ):
            make_encoder_of(checkpoint)


def test_features_that_would_differ_are_told(resnet_state, caplog):
    small = resnet_state | {"conv1.weight": resnet_state["conv1.weight"][:, :, 2:5, 2:5]}
    encoder = make_encoder_of(sample("solo-learn", small), stem="small")
    warning = 'the encoder has the stem "small", and solo-learn trains with "small_padded", so features differ'
    assert caplog.text.count(warning) == 1
    load_torch_weights(encoder, sample("solo-learn", small))
    assert caplog.text.count(warning) == 2
    caplog.clear()
    assert stem_of(make_encoder_of(sample("solo-learn", small))) == "small_padded"
    assert stem_of(make_encoder_of(sample("solo-learn", small), prefix="backbone.")) == "small_padded"
    assert stem_of(make_encoder_of(sample("Lightly", small, 3))) == "small"
    make_encoder_of(sample("solo-learn", resnet_state))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_files_of_pytorch(resnet_state, resnet, tmp_path, torch):
    """Each sample as torch.save writes it, with the arguments and NumPy numbers that the projects put beside it."""

    def tensors(held):
        if isinstance(held, dict):
            return {name: tensors(value) for name, value in held.items()}
        return torch.from_numpy(held.copy()) if isinstance(held, np.ndarray) else held

    for name, checkpoints in SAMPLES.items():
        for checkpoint in checkpoints(resnet_state):
            torch.save(tensors(checkpoint), tmp_path / "checkpoint.pth")
            found = find_encoder(tmp_path / "checkpoint.pth")
            assert found.layout == name
            assert_taken(found, resnet_state)

    for name, end in (("MoCo", "pth.tar"), ("solo-learn", "ckpt"), ("VISSL", "torch")):
        torch.save(tensors(sample(name, resnet_state)), tmp_path / f"other.{end}")
        assert load(str(tmp_path / f"other.{end}")).sha256 == weights_sha256(resnet)
        assert open_origin(str(tmp_path / f"other.{end}")).projector is None
