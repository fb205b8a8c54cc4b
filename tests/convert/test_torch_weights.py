"""PyTorch's tensors into an encoder and its projector: names and layouts by hand, and every refusal."""

import logging

import keras
import numpy as np
import pytest

from barlowtf.convert import load_torch_weights, make_encoder_of, make_models_of, named_weights, to_torch_layout
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


@pytest.mark.parametrize(
    ("prefix", "beside"),
    [
        ("_orig_mod.", ()),
        ("module._orig_mod.", ()),
        ("model.backbone.", ()),
        ("module.encoder_q.", ("module.encoder_k.", "module.queue")),  # MoCo
        ("backbone.", ("momentum_backbone.", "projector.0.bias", "classifier.weight")),  # solo-learn
        ("encoder.", ("projection_head.bn1.weight",)),
        ("net.trunk.", ("net.head.weight",)),
    ],
)
@pytest.mark.parametrize("place", ["state_dict", "model_state_dict"])
def test_what_other_programs_call_the_encoder(encoder, state, prefix, beside, place):
    whole = {f"{prefix}{name}": value for name, value in state.items()} | {f"{prefix}fc.0.weight": np.zeros(2)}
    for name in beside:
        copies = {f"{name}{key}": np.zeros_like(value) for key, value in state.items()}
        whole = (copies if name.endswith(".") else {name: np.zeros(1)}) | whole
    loaded = load_torch_weights(encoder, {"epoch": 3, place: whole})
    assert_holds(encoder, state)
    assert {f"{prefix}fc.0.weight", *(name for name in beside if not name.endswith("."))} <= set(loaded.passed_over)
    assert len(loaded.taken) == 100 and len(loaded.passed_over) == len(whole) - 100
    assert make_encoder_of({place: whole}).name == NAME


def test_two_encoders_of_which_none_is_called_the_trained_one(encoder, state):
    both = {f"{prefix}.{name}": value for prefix in ("student", "teacher") for name, value in state.items()}
    with pytest.raises(
        ConversionError, match=r"2 encoders, under student\., teacher\., .* barlowtf convert --prefix student"
    ):
        load_torch_weights(encoder, both)


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
    with pytest.raises(ConversionError, match=r"The first names: features\.0\.weight, features\.1\.weight\.$"):
        make_encoder_of({f"features.{i}.weight": np.zeros(3) for i in range(2)})
    with pytest.raises(ConversionError, match="1 tensors missing: bn1.bias"):
        make_encoder_of({name: value for name, value in state.items() if name != "bn1.bias"})


def test_a_model_that_is_no_encoder():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="expected an encoder of barlowtf"):
        named_weights(model)


def whole_state(widths=(6, 5, 7), seed=1):
    """The authors' whole model with the thin ResNet-18 of `torch_state`, its projector's names written out."""
    random = np.random.default_rng(seed)
    state = {f"backbone.{name}": value for name, value in torch_state().items()}
    for index, (inputs, out) in enumerate(zip((32, *widths[:-1]), widths, strict=True)):
        state[f"projector.{3 * index}.weight"] = random.standard_normal((out, inputs)).astype(np.float32)
        if index < len(widths) - 1:
            for part in ("weight", "bias", "running_mean"):
                state[f"projector.{3 * index + 1}.{part}"] = random.standard_normal(out).astype(np.float32)
            state[f"projector.{3 * index + 1}.running_var"] = random.uniform(0.5, 1.5, out).astype(np.float32)
            state[f"projector.{3 * index + 1}.num_batches_tracked"] = np.array(7)
    return state | {"bn.running_mean": np.zeros(widths[-1]), "bn.running_var": np.ones(widths[-1])}


def project(state, features, count):
    """The authors' projector in inference mode, by hand in float64."""
    x = features.astype(np.float64)
    for index in range(0, 3 * count, 3):
        x = x @ state[f"projector.{index}.weight"].T.astype(np.float64)
        if index < 3 * (count - 1):
            norm = {name: state[f"projector.{index + 1}.{name}"] for name in ("weight", "bias")}
            mean, variance = (state[f"projector.{index + 1}.running_{name}"] for name in ("mean", "var"))
            x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * norm["weight"] + norm["bias"], 0)
    return x


@pytest.mark.parametrize("widths", [(6, 5, 7), (4, 9), (8,)])
def test_the_projector_of_the_whole_model(widths):
    state = whole_state(widths)
    models = make_models_of({f"module.{name}": value for name, value in state.items()})
    assert_holds(models.encoder, {name.removeprefix("backbone."): value for name, value in state.items()})
    features = np.random.default_rng(2).standard_normal((3, 32)).astype(np.float32)
    # Sums of at most 32 products in float32.
    np.testing.assert_allclose(
        models.projector(features, training=False), project(state, features, len(widths)), rtol=1e-4, atol=1e-5
    )
    counters = [f"module.{name}" for name in state if name.endswith("tracked")]
    assert set(models.passed_over) == {*counters, "module.bn.running_mean", "module.bn.running_var"}
    assert make_models_of(torch_state()).projector is None


def test_faults_of_encoder_and_projector_are_named_together():
    broken = whole_state()
    del broken["backbone.conv1.weight"], broken["projector.6.weight"], broken["projector.1.bias"]
    broken["projector.0.bias"] = np.zeros(6)
    broken["projector.5.weight"] = np.zeros(5)
    broken["projector.x"] = np.zeros(7)
    broken["backbone.layer2.0.bn1.bias"] = np.zeros(3)
    broken["projector.3.weight"] = broken["projector.3.weight"].T
    broken["projector.4.running_var"] = np.full(5, 1e300)
    with pytest.raises(ConversionError) as caught:
        make_models_of(broken)
    message = str(caught.value)
    assert message.startswith("The state dict holds no whole resnet18_w0p0625; nothing was loaded. 3 tensors missing: ")
    assert "missing: conv1.weight, projector.1.bias, projector.6.weight. 3 tensors" in message
    assert "3 tensors unknown: projector.0.bias, projector.5.weight, projector.x." in message
    assert "backbone.layer2.0.bn1.bias [3] (expected [8])" in message
    assert "projector.3.weight [6, 5] (expected [5, 6])" in message
    assert message.endswith("1 tensors not finite: projector.4.running_var.")
    assert "\n" not in message


@pytest.mark.parametrize("lost", ["projector.6.weight", "projector.0.weight", "projector.4.weight"])
def test_a_missing_tensor_of_the_projector_is_the_only_fault(lost):
    with pytest.raises(ConversionError, match=rf"nothing was loaded\. 1 tensors missing: {lost}\.$"):
        make_models_of({name: value for name, value in whole_state().items() if name != lost})


def test_a_missing_layer_of_the_projector_takes_its_width_from_the_next():
    lost = ("projector.3.", "projector.4.")
    with pytest.raises(ConversionError) as caught:
        make_models_of({name: value for name, value in whole_state().items() if not name.startswith(lost)})
    names = (
        "projector.3.weight",
        *(f"projector.4.{part}" for part in ("weight", "bias", "running_mean", "running_var")),
    )
    assert str(caught.value).endswith(f"nothing was loaded. 5 tensors missing: {', '.join(names)}.")


def test_numbers_too_large_for_float32_are_refused(state):
    with pytest.raises(ConversionError, match="1 tensors not finite: bn1.weight"):
        make_encoder_of({**state, "bn1.weight": np.full(4, 1e300)})
    with pytest.raises(ConversionError, match="1 tensors not finite: bn1.weight"):
        make_encoder_of({**state, "bn1.weight": np.full(4, 1j)})


def test_a_prefix_that_some_names_lack_is_part_of_a_name(state):
    """Otherwise one of two tensors would silently take the other's place."""
    with pytest.raises(ConversionError, match="1 tensors unknown: module.conv1.weight"):
        make_encoder_of({**state, "module.conv1.weight": np.zeros_like(state["conv1.weight"])})


def test_the_stem_that_tensors_do_not_tell(caplog):
    caplog.set_level(logging.INFO, "barlowtf")
    small = torch_state(kernel=3)
    assert make_encoder_of(small).get_layer("conv1").strides == (1, 1)
    assert 'conv1 is 3x3, taken for the stem "small"' in caplog.text
    caplog.clear()
    half = make_encoder_of(small, stem="half")
    assert half.get_layer("conv1").strides == (2, 2)
    assert_holds(half, small)
    make_encoder_of(torch_state())
    assert not caplog.text
    with pytest.raises(ConversionError, match=r"conv1.weight \[4, 3, 7, 7\] \(expected \[4, 3, 3, 3\]\)"):
        make_encoder_of(torch_state(), stem="small")


@pytest.mark.parametrize("filters", [1024, 6400])
def test_first_tensors_that_lie_about_the_width_make_no_encoder(state, filters):
    with pytest.raises(ConversionError, match=f"Received {filters} channels in conv1 or bn1 and at most"):
        make_encoder_of({**state, "conv1.weight": np.broadcast_to(np.float32(1), (filters, 3, 3, 3))})


def test_variances_below_zero_are_refused(state):
    with pytest.raises(ConversionError, match=r"1 tensors of negative variances: bn1.running_var\."):
        make_encoder_of({**state, "bn1.running_var": np.full(4, -1, np.float32)})


def test_of_many_unknown_tensors_some_are_named(state):
    with pytest.raises(ConversionError, match=r"^.{,80}1000 tensors unknown: .{,1700} and 900 more\.$"):
        make_encoder_of({**state, **{f"layer1.0.x{number}": np.zeros(1) for number in range(1000)}})
