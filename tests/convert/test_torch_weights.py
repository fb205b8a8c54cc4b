"""PyTorch's tensors into an encoder: names and layouts by hand, files as PyTorch writes them, and every refusal."""

import json
import sys
import warnings

import keras
import numpy as np
import pytest

from barlowtf.convert import load_torch_weights, make_encoder_of, named_weights, to_torch_layout
from barlowtf.errors import ConversionError
from barlowtf.models import make_encoder

NAME = "resnet18_w0p0625"


def torch_state(base=4, channels=3, kernel=7, seed=0):
    """A state dict of torchvision's ResNet-18 at another width, its names written out as torchvision does."""
    random = np.random.default_rng(seed)
    state = {}

    def convolution(name, out, inputs, size):
        state[f"{name}.weight"] = random.standard_normal((out, inputs, size, size)).astype(np.float32)

    def normalization(name, width):
        for part in ("weight", "bias", "running_mean"):
            state[f"{name}.{part}"] = random.standard_normal(width).astype(np.float32)
        state[f"{name}.running_var"] = random.uniform(0.5, 1.5, width).astype(np.float32)
        state[f"{name}.num_batches_tracked"] = np.array(7)

    convolution("conv1", base, channels, kernel)
    normalization("bn1", base)
    inputs = base
    for stage in range(4):
        width = base * 2**stage
        for block in range(2):
            name = f"layer{stage + 1}.{block}"
            convolution(f"{name}.conv1", width, inputs, 3)
            normalization(f"{name}.bn1", width)
            convolution(f"{name}.conv2", width, width, 3)
            normalization(f"{name}.bn2", width)
            if stage and not block:
                convolution(f"{name}.downsample.0", width, inputs, 1)
                normalization(f"{name}.downsample.1", width)
            inputs = width
    return state


@pytest.fixture(scope="module")
def state():
    return torch_state()


@pytest.fixture
def encoder():
    return make_encoder(NAME, image_shape=(64, 64, 3))


def assert_holds(encoder, state):
    kernel = encoder.get_layer("layer2_0_conv1").kernel.numpy()  # [H, W, in, out]
    for out, inputs, row, column in ((0, 1, 2, 0), (5, 2, 0, 1)):
        assert kernel[row, column, inputs, out] == state["layer2.0.conv1.weight"][out, inputs, row, column]
    layer = encoder.get_layer("layer4_0_downsample_1")
    for name, value in (
        ("weight", layer.gamma),
        ("bias", layer.beta),
        ("running_mean", layer.moving_mean),
        ("running_var", layer.moving_variance),
    ):
        np.testing.assert_array_equal(value, state[f"layer4.0.downsample.1.{name}"])
    for name, weight in named_weights(encoder).items():
        np.testing.assert_array_equal(to_torch_layout(weight.variable.numpy()), state[name])


def test_names_and_shapes_are_those_of_the_authors_file(golden):
    expected = json.loads((golden / "resnet50_state_dict.json").read_text())
    expected = {name: tuple(shape) for name, shape in expected.items() if not name.endswith("num_batches_tracked")}
    weights = named_weights(make_encoder("resnet50", image_shape=(None, None, 3)))
    assert {name: weight.shape for name, weight in weights.items()} == expected


def test_a_dict_of_arrays(encoder, state):
    classifier = {"fc.weight": np.zeros((10, 32)), "fc.bias": np.zeros(10)}
    loaded = load_torch_weights(encoder, {**state, **classifier})
    assert_holds(encoder, state)
    assert len(loaded.taken) == len(encoder.weights) == 100
    assert len(loaded.passed_over) == 22 and {"fc.weight", "bn1.num_batches_tracked"} <= set(loaded.passed_over)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_of_the_authors_whole_model_the_backbone_is_taken(encoder, state, prefix):
    whole = {f"{prefix}backbone.{name}": value for name, value in state.items()}
    for name in ("projector.0.weight", "projector.1.running_mean", "bn.running_mean", "bn.num_batches_tracked"):
        whole[prefix + name] = np.full(3, np.nan)
    loaded = load_torch_weights(encoder, {"epoch": 3, "model": whole, "optimizer": {"state": {}}})
    assert_holds(encoder, state)
    assert f"{prefix}projector.0.weight" in loaded.passed_over
    assert f"{prefix}backbone.conv1.weight" in loaded.taken
    with pytest.raises(ConversionError, match=rf"1 tensors unknown: {prefix}conv1.weight\."):
        load_torch_weights(encoder, {**whole, f"{prefix}conv1.weight": state["conv1.weight"]})


@pytest.fixture(scope="module")
def torch():
    with warnings.catch_warnings():
        # Its import warns of its own surroundings.
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch")


def test_files_of_pytorch(encoder, state, tmp_path, torch):
    tensors = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
    torch.save(tensors, tmp_path / "resnet.pth")
    load_torch_weights(encoder, tmp_path / "resnet.pth")
    assert_holds(encoder, state)

    whole = {f"module.backbone.{name}": value.to(torch.float64) for name, value in tensors.items()}
    whole["module.projector.0.weight"] = torch.zeros(2, 2)
    torch.save({"epoch": 4, "model": whole, "optimizer": {"param_groups": [{"lr": 0.2}]}}, tmp_path / "checkpoint.pth")
    again = make_encoder_of(str(tmp_path / "checkpoint.pth"))
    assert_holds(again, state)

    halves = {name: value.to(torch.bfloat16) if value.is_floating_point() else value for name, value in tensors.items()}
    load_torch_weights(encoder, halves)
    assert_holds(encoder, {name: value.float().numpy() for name, value in halves.items()})


class Anything:
    pass


def test_files_that_cannot_be_read(encoder, tmp_path, torch):
    def refuse(name):
        with pytest.raises(ConversionError) as caught:
            load_torch_weights(encoder, tmp_path / name)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    # The class must be importable where it is pickled; importlib mode gives test modules no name there.
    sys.modules[Anything.__module__] = sys.modules.get(Anything.__module__) or type(sys)(Anything.__module__)
    sys.modules[Anything.__module__].Anything = Anything
    torch.save({"model": Anything()}, tmp_path / "program.pth")
    message = refuse("program.pth")
    assert "holds other objects than tensors" in message and "Anything" in message
    (tmp_path / "empty.pth").touch()
    assert "Cannot read" in refuse("empty.pth")
    torch.save({"a": torch.zeros(100)}, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:700])
    assert "Copy or download it again" in refuse("cut.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "holds no tensors by name" in refuse("list.pth")
    assert "No such file" in refuse("absent.pth")


@pytest.mark.parametrize(("package", "file"), [("torch", "a.pth"), ("safetensors", "a.safetensors")])
def test_without_the_package_the_error_names_it(encoder, tmp_path, monkeypatch, package, file):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / file).touch()
    with pytest.raises(ConversionError, match=r"which is not installed. Run: pip install 'barlowtf\[torch\]'"):
        load_torch_weights(encoder, tmp_path / file)


def test_safetensors(encoder, state, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file(state, tmp_path / "resnet.safetensors")
    load_torch_weights(encoder, tmp_path / "resnet.safetensors")
    assert_holds(encoder, state)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "resnet.safetensors").read_bytes()[:1000])
    with pytest.raises(ConversionError, match="Cannot read .*cut.safetensors"):
        load_torch_weights(encoder, tmp_path / "cut.safetensors")


def test_everything_that_does_not_fit_is_named_and_nothing_is_assigned(encoder, state):
    before = [weight.numpy() for weight in encoder.weights]
    broken = dict(state)
    del broken["conv1.weight"], broken["layer4.1.bn2.bias"]
    broken["layer5.0.conv1.weight"] = np.zeros((1, 1, 1, 1))
    broken["layer1.0.conv1.weight"] = np.zeros((4, 4, 1, 1))
    broken["layer1.0.conv2.weight"] = np.zeros((3, 3, 4, 4))
    broken["bn1.running_var"] = np.full(4, np.inf)
    with pytest.raises(ConversionError) as caught:
        load_torch_weights(encoder, broken)
    message = str(caught.value)
    assert "2 tensors missing: conv1.weight, layer4.1.bn2.bias." in message
    assert "1 tensors unknown: layer5.0.conv1.weight." in message
    assert "2 tensors of another shape: layer1.0.conv1.weight [4, 4, 1, 1] (expected [4, 4, 3, 3])" in message
    assert "1 tensors not finite: bn1.running_var." in message
    assert "\n" not in message
    for weight, value in zip(encoder.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    ("shape", "name", "kernel"),
    [({"base": 4}, NAME, 7), ({"base": 3, "channels": 1, "kernel": 3}, "resnet18_w0p046875", 3)],
)
def test_an_encoder_of_the_files_own_architecture(shape, name, kernel):
    state = torch_state(**shape)
    encoder = make_encoder_of(state)
    assert encoder.name == name and encoder.get_layer("conv1").kernel_size == (kernel, kernel)
    assert encoder.input_shape == (None, None, None, shape.get("channels", 3))
    assert_holds(encoder, state)


def test_what_is_no_resnet(state):
    fewer = {name: value for name, value in state.items() if not name.startswith("layer3.1")}
    with pytest.raises(ConversionError, match=r"Received \(2, 2, 1, 2\) blocks .* depth 10, 18, 34, 50, 101, 152, 200"):
        make_encoder_of(fewer)
    with pytest.raises(ConversionError, match="conv1.weight absent"):
        make_encoder_of({"encoder.weight": np.zeros(3)})
    with pytest.raises(ConversionError, match="1 tensors missing: bn1.bias"):
        make_encoder_of({name: value for name, value in state.items() if name != "bn1.bias"})


def test_a_model_that_is_no_encoder():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="Expected an encoder of barlowtf"):
        named_weights(model)
