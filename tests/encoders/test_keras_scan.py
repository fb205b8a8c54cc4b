"""`.keras` files that carry code, or that would take memory or read other files, are refused by name."""

import io
import json
import warnings
import zipfile
import zlib

import h5py
import keras
import numpy as np
import pytest

from barlowtf.encoders.loading import load_keras
from barlowtf.errors import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    file = tmp_path_factory.mktemp("keras") / "encoder.keras"
    images = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(images)
    x = keras.layers.Dense(5, name="dense", activation="gelu")(keras.layers.Flatten()(keras.ops.relu(x)))
    keras.Model(images, x).save(file)
    return file


@pytest.fixture
def rewritten(saved, tmp_path):
    """Function that returns a copy of the file with other members: name -> content, None: left out."""

    def rewrite(members, compression=zipfile.ZIP_STORED):
        file = tmp_path / "rewritten.keras"
        with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(file, "w", compression) as new:
            content = {name: archive.read(name) for name in archive.namelist()} | members
            for name, value in content.items():
                if value is not None:
                    new.writestr(name, value)
        return file

    return rewrite


@pytest.fixture
def with_layer(saved, rewritten):
    """Function that returns a copy of the file whose Dense layer is replaced by another."""

    def replace(**layer):
        with zipfile.ZipFile(saved) as archive:
            config = json.loads(archive.read("config.json"))
        for place in config["config"]["layers"]:
            if place["config"].get("name") == "dense":
                place.update(layer)
        return rewritten({"config.json": json.dumps(config)})

    return replace


def refused(file, reason):
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_keras(file)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_file_of_keras_is_loaded(saved, rewritten):
    assert load_keras(saved).output_shape == (None, 5)
    assert load_keras(rewritten({}, zipfile.ZIP_DEFLATED)).output_shape == (None, 5)


def test_registered_functions_and_layers_inside_keras_are_taken(tmp_path, with_layer):
    @keras.saving.register_keras_serializable("test_keras_scan")
    def doubled(x):
        return 2 * x

    images = keras.Input((4, 4, 3))
    keras.Model(images, keras.layers.Activation(doubled)(images)).save(tmp_path / "doubled.keras")
    assert load_keras(tmp_path / "doubled.keras").output_shape == (None, 4, 4, 3)
    # Of ConvNeXt; it comes as far as its weights, which are those of another layer.
    module = {"module": "keras.src.applications.convnext", "class_name": "LayerScale", "registered_name": "LayerScale"}
    refused(with_layer(**module, config={"name": "dense", "init_values": 0.1, "projection_dim": 16}), "Cannot read ")


@pytest.mark.parametrize(
    "name", ["Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "StringLookup", "TextVectorization"]
)
def test_layers_that_carry_code_or_read_files_are_refused_by_name(with_layer, name):
    refused(with_layer(class_name=name, config={"name": "evil"}), f"its layer {name} 'evil' ")
    inner = {"module": "keras.layers", "class_name": name, "config": {"name": "inside"}}
    wrapper = {"class_name": "TimeDistributed", "config": {"name": "outside", "layer": inner}}
    refused(with_layer(**wrapper), f"its layer {name} 'inside' ")


def test_a_saved_lambda_layer_is_refused(tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x)]).save(tmp_path / "lambda.keras")
    refused(tmp_path / "lambda.keras", "its layer Lambda .* runs Python code")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras", "layers.Lambda"),
        ("keras.utils", "get_file"),
        ("keras.src.utils.file_utils", "get_file"),
        ("os", "system"),
        ("my_package", "Unregistered"),
        ("keras.src.layers.core.lambda_layer", "Other"),
        (None, "not a name"),
        ("keras.saving", "load_model"),
    ],
)
def test_other_classes_are_refused_by_name(with_layer, module, name):
    refused(with_layer(module=module, class_name=name, registered_name=None), f"its class '{name}'")
    function = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    config = {"name": "dense", "units": 5, "activation": function}
    refused(with_layer(config=config), f"its class '{name}'")


def test_configurations_that_keras_trips_over_are_one_line(with_layer, rewritten):
    for config in ({"units": "many"}, {"units": -1}, {"units": None, "name": 5}, [], "x", None):
        refused(with_layer(config=config), "Cannot read ")
    refused(with_layer(class_name=5), "a class that is not text")
    refused(rewritten({"config.json": "[" * 200_000 + "]" * 200_000}), "nested too deeply")
    refused(rewritten({"config.json": '{"a":' * 300 + "1" + "}" * 300}), "nested more than 100 deep")
    for content in ("", "5", "{", b"\xff\xfe", "{}", '{"class_name": "Sequential"}'):
        refused(rewritten({"config.json": content}), "Cannot read ")


@pytest.mark.parametrize("layer", [{"units": 10**9}, {"units": 10**15}, {"units": 2**23, "name": "dense"}])
def test_weights_that_the_file_does_not_hold_take_no_memory(with_layer, layer):
    refused(with_layer(config={"name": "dense", **layer}), "declares weights of more than [0-9,]+ bytes, and holds")


def test_members_are_those_of_keras_and_not_larger_than_they_can_be(rewritten, saved, tmp_path):
    for name in ("../outside", "/etc/passwd", "assets/words.txt", "model.weights.npz"):
        refused(rewritten({name: b"x"}), "its member .* is not one of config.json")
    refused(rewritten({"config.json": None}), "holds no config.json")
    refused(rewritten({"model.weights.h5": None}), "holds no model.weights.h5")
    zeros = bytes(2**25)
    refused(rewritten({"config.json": zeros}, zipfile.ZIP_DEFLATED), "config.json would take 33,554,432 bytes")
    refused(rewritten({"model.weights.h5": zeros}, zipfile.ZIP_DEFLATED), "weights.h5 would take 33,554,432 bytes")
    twice = tmp_path / "twice.keras"
    twice.write_bytes(saved.read_bytes())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(twice, "a") as archive:
        archive.writestr("config.json", b"{}")
    refused(twice, "its member 'config.json' is not one of")
    for content in (b"", b"PK", saved.read_bytes()[:-30], saved.read_bytes()[:300]):
        (tmp_path / "cut.keras").write_bytes(content)
        refused(tmp_path / "cut.keras", "Cannot read ")


def edited_weights(saved, change):
    with zipfile.ZipFile(saved) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "a") as file:
        change(file)
    return {"model.weights.h5": content.getvalue()}


def test_weights_stay_within_the_file(rewritten, saved, tmp_path):
    other = str(tmp_path / "other.h5")
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource(other, "x", shape=(4,))
    cases = [
        (lambda file: file.__setitem__("x", h5py.ExternalLink(other, "/x")), "holds a link, 'x'"),
        (lambda file: file.__setitem__("x", h5py.SoftLink("/layers")), "holds a link, 'x'"),
        (lambda file: file.create_dataset("x", (4,), "f4", external=[(other, 0, 16)]), "lie in another file"),
        (lambda file: file.create_virtual_dataset("x", layout), "lie in another file"),
        (lambda file: file.create_dataset("x", (10**6, 10**6), "f4", chunks=(10, 10)), "/x declares 4,000,000,000,000"),
        (lambda file: file.__setitem__("layers/again", file["layers"]), "^$"),
    ]
    for change, reason in cases[:-1]:
        refused(rewritten(edited_weights(saved, change)), reason)
    # A group that holds itself.
    assert load_keras(rewritten(edited_weights(saved, cases[-1][0]))).output_shape == (None, 5)


def replace_bias(file, chunk, stored, *, deflates, shuffled=False):
    """Stores the 5 biases of the Dense layer in one chunk."""
    name = "layers/dense/vars/1"
    values = file[name][()]
    del file[name]
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((chunk,))
    for _ in range(deflates):
        settings.set_deflate(9)
    if shuffled:
        settings.set_shuffle()
    space = h5py.h5s.create_simple(values.shape, (h5py.h5s.UNLIMITED,))
    dataset = h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F32LE, space, settings)
    content = values.tobytes() + bytes(stored - values.nbytes)
    for _ in range(deflates):
        content = zlib.compress(content)
    if shuffled:  # After the compression, so that what is stored does not begin like one.
        content = b"".join(content[start::4] for start in range(4)) + content[len(content) // 4 * 4 :]
    dataset.write_direct_chunk((0,), content, 0)


@pytest.mark.parametrize(
    ("chunk", "stored", "deflates", "reason"),
    [
        (2**19, 2**21, 1, "dense/vars/1 declares 20 bytes in chunks of 2,097,152 bytes"),
        (5, 2**21, 1, "dense/vars/1 has a chunk that is damaged, or would take more than its 20 bytes"),
        (5, 2**21, 2, "dense/vars/1 is compressed by other means than gzip once"),
    ],
)
def test_a_chunk_takes_no_more_than_its_values(rewritten, saved, chunk, stored, deflates, reason):
    edited = edited_weights(saved, lambda file: replace_bias(file, chunk, stored, deflates=deflates))
    refused(rewritten(edited), reason)
    if deflates == 1:
        shuffled = edited_weights(saved, lambda file: replace_bias(file, chunk, stored, deflates=1, shuffled=True))
        refused(rewritten(shuffled), reason)


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": True},
        {"compression": "gzip"},
        {"compression": "gzip", "chunks": (1, 1)},  # larger when compressed, so stored as they are
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (3, 2), "compression": "gzip", "fletcher32": True},
    ],
)
def test_weights_that_were_compressed_again_are_loaded(rewritten, saved, options):
    def compress(file):
        values = file["layers/dense/vars/0"][()]
        del file["layers/dense/vars/0"]
        file.create_dataset("layers/dense/vars/0", data=values, **options)

    model = load_keras(rewritten(edited_weights(saved, compress)))
    expected = load_keras(saved).get_layer("dense").kernel.numpy()
    np.testing.assert_array_equal(model.get_layer("dense").kernel.numpy(), expected)


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "f4"), (-np.inf, "f4"), (1e300, "f8")])
def test_weights_that_are_not_finite_are_refused(rewritten, saved, value, kind):
    def replace(file):
        for name in ("layers/dense/vars/1", "layers/conv2d/vars/0"):
            values = file[name][()].astype(kind)
            values.flat[1] = value
            del file[name]
            file[name] = values

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "overflow encountered in cast")
        refused(
            rewritten(edited_weights(saved, replace)),
            "2 of 4 tensors not finite: conv/kernel, dense/bias. The training",
        )
