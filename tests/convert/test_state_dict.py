"""An encoder's weights as PyTorch's state dict: names, order, values, and the features of the network in PyTorch."""

import json

import keras
import numpy as np
import pytest

from barlowtf.convert import make_models_of, read_tensors, state_dict_of, write_tensors
from barlowtf.export import folded_encoder, plain_encoder
from barlowtf.models import make_encoder, make_head, make_projector
from tests.weights import randomized


def thin(depth=18, stem="imagenet", **options):
    return randomized(make_encoder(f"resnet{depth}_w0p0625", image_shape=(None, None, 3), stem=stem, **options))


@pytest.mark.parametrize("name", ["resnet50", "barlow_twins"])
def test_names_order_shapes_and_types_are_those_of_the_authors_files(resnet50_models, golden, name):
    projector = resnet50_models.projector if name == "barlow_twins" else None
    state = state_dict_of(resnet50_models.encoder, projector)
    expected = json.loads((golden / f"{name}_state_dict.json").read_text())
    assert [(key, list(value.shape)) for key, value in state.items()] == list(expected.items())
    for key, value in state.items():
        assert value.dtype == (np.int64 if key.endswith("num_batches_tracked") else np.float32)


def test_values(resnet50_models, formula_state):
    state = state_dict_of(*resnet50_models[:2])
    for name, value in formula_state("resnet50").items():
        np.testing.assert_array_equal(state[f"backbone.{name}"], 0 if name.endswith("tracked") else value)
    for name, value in formula_state("barlow_twins").items():
        if name.startswith("projector") and not name.endswith("tracked"):
            np.testing.assert_array_equal(state[name], value)
    assert not state["bn.running_mean"].any() and (state["bn.running_var"] == 1).all()


def test_a_head_is_the_classifier():
    encoder, head = thin(), randomized(make_head(32, 5))
    state = state_dict_of(encoder, head=head)
    assert list(state)[-2:] == ["fc.weight", "fc.bias"]
    features = np.random.default_rng(1).standard_normal((2, 32)).astype(np.float32)
    np.testing.assert_allclose(features @ state["fc.weight"].T + state["fc.bias"], head(features), atol=1e-6)


@pytest.mark.parametrize("widths", [(5,), (6, 5), (7, 6, 5)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("normalization", [False, True])
def test_every_projector_there_and_back_is_exact(widths, bias, normalization):
    encoder = thin(10)
    projector = randomized(make_projector(32, widths, bias=bias, normalization=normalization))
    back = make_models_of(state_dict_of(encoder, projector)).projector
    assert [weight.path for weight in back.weights] == [weight.path for weight in projector.weights]
    for one, other in zip(projector.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("stem", ["imagenet", "small", "small_padded", "half"])
def test_there_and_back_is_exact(stem):
    encoder, projector = thin(10, stem, dtype="mixed_bfloat16"), randomized(make_projector(32, (6, 5)))
    back = make_models_of(state_dict_of(encoder, projector), stem=stem)
    for before, after in ((encoder, back.encoder), (projector, back.projector)):
        assert [layer.name for layer in before.layers] == [layer.name for layer in after.layers]
        for one, other in zip(before.get_weights(), after.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
    strides = [model.get_layer("conv1").strides for model in (encoder, back.encoder)]
    assert strides[0] == strides[1]


def test_an_encoder_in_layers_of_keras():
    encoder = thin(50, dtype="mixed_bfloat16")
    state, plain = state_dict_of(encoder), state_dict_of(plain_encoder(encoder))
    assert list(plain) == list(state)
    for name, value in state.items():
        np.testing.assert_array_equal(plain[name], value, strict=True)
    with pytest.raises(ValueError, match="expected an encoder of barlowtf"):
        state_dict_of(folded_encoder(encoder))


def test_what_does_not_belong_together():
    encoder = thin(10)
    with pytest.raises(ValueError, match="projector: received width 31 for an encoder of width 32"):
        state_dict_of(encoder, make_projector(31, (4,)))
    with pytest.raises(ValueError, match="head: received width 31 for an encoder of width 32"):
        state_dict_of(encoder, head=make_head(31, 4))
    with pytest.raises(ValueError, match="a projector and a head"):
        state_dict_of(encoder, make_projector(32, (4,)), make_head(32, 4))
    with pytest.raises(ValueError, match="expected those of one linear layer"):
        state_dict_of(encoder, head=make_projector(32, (4,)))
    features = keras.Input((32,))
    two = keras.Model(features, keras.layers.Dense(2)(keras.layers.Dense(2, use_bias=False)(features)))
    with pytest.raises(ValueError, match="expected those of one linear layer"):
        state_dict_of(encoder, head=two)


def torchvision_resnet(torch, depth, base, stem):
    """A ResNet in PyTorch with torchvision's module names, written from its documentation for this test."""
    nn = torch.nn
    counts = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    expansion = 4 if depth == 50 else 1

    class Block(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            sizes = (1, 3, 1) if expansion == 4 else (3, 3)
            widths = [inputs, *[width] * (len(sizes) - 1), width * expansion]
            self.count = len(sizes)
            for index, size in enumerate(sizes, start=1):
                step = stride if index == len(sizes) - 1 else 1
                layer = nn.Conv2d(widths[index - 1], widths[index], size, step, size // 2, bias=False)
                setattr(self, f"conv{index}", layer)
                setattr(self, f"bn{index}", nn.BatchNorm2d(widths[index]))
            if stride != 1 or inputs != widths[-1]:
                shortcut = nn.Conv2d(inputs, widths[-1], 1, stride, bias=False)
                self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(widths[-1]))
            else:
                self.downsample = None

        def forward(self, x):
            y = x
            for index in range(1, self.count + 1):
                y = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(y))
                y = y if index == self.count else y.relu()
            return (y + (x if self.downsample is None else self.downsample(x))).relu()

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            kinds = {"imagenet": (7, 2, 3), "small": (3, 1, 1), "small_padded": (3, 1, 2), "half": (3, 2, 1)}
            self.conv1 = nn.Conv2d(3, base, *kinds[stem], bias=False)
            self.bn1 = nn.BatchNorm2d(base)
            self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
            inputs = base
            for stage, count in enumerate(counts):
                width, blocks = base * 2**stage, []
                for index in range(count):
                    blocks.append(Block(inputs, width, 2 if stage and not index else 1))
                    inputs = width * expansion
                setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))

        def forward(self, x):
            x = self.maxpool(self.bn1(self.conv1(x)).relu())
            for stage in (1, 2, 3, 4):
                x = getattr(self, f"layer{stage}")(x)
            return x.mean((2, 3))

    return ResNet().eval()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(
    ("depth", "stem"), [(18, "imagenet"), (50, "imagenet"), (18, "small"), (18, "small_padded"), (10, "half")]
)
def test_pytorch_loads_the_file_and_computes_the_same_features(tmp_path, torch, depth, stem, suffix):
    safetensors = pytest.importorskip("safetensors.torch") if suffix == "safetensors" else None
    encoder = thin(depth, stem, dtype="float32")
    write_tensors(tmp_path / f"resnet.{suffix}", state_dict_of(encoder))
    if safetensors is None:
        state = torch.load(tmp_path / "resnet.pth", weights_only=True)
    else:
        state = safetensors.load_file(tmp_path / "resnet.safetensors")
    model = torchvision_resnet(torch, depth, 4, stem)
    model.load_state_dict(state, strict=True)
    images = np.random.default_rng(3).standard_normal((2, 97, 75, 3)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    received = np.asarray(encoder(images, training=False))
    # float32 through up to 50 layers; measured at most 5e-7.
    assert np.linalg.norm(received - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("normalization", [False, True])
def test_the_whole_model_of_pytorch_loads_the_file(tmp_path, torch, bias, normalization):
    """Names of nn.Module, so that `load_state_dict(strict=True)` has nothing to complain about."""
    nn = torch.nn
    model = nn.Module()
    model.backbone = torchvision_resnet(torch, 18, 4, "imagenet")
    between = (nn.BatchNorm1d(6), nn.ReLU()) if normalization else (nn.ReLU(),)
    model.projector = nn.Sequential(nn.Linear(32, 6, bias=bias), *between, nn.Linear(6, 5, bias=bias))
    model.bn = nn.BatchNorm1d(5, affine=False)
    encoder = thin()
    projector = randomized(make_projector(32, (6, 5), bias=bias, normalization=normalization))
    write_tensors(tmp_path / "whole.pth", state_dict_of(encoder, projector))
    state = torch.load(tmp_path / "whole.pth", weights_only=True)
    assert list(state) == list(model.state_dict())
    model.load_state_dict(state, strict=True)
    features = np.random.default_rng(4).standard_normal((3, 32)).astype(np.float32)
    with torch.no_grad():
        expected = model.eval().projector(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(projector(features, training=False), expected, atol=1e-6)
    assert list(read_tensors(tmp_path / "whole.pth")) == list(state)
