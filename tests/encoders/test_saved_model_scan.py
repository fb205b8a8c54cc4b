"""SavedModels that do more than an encoder does are refused by name before anything of them runs."""

import random
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pool, message_factory

from barlowtf.encoders import load
from barlowtf.encoders.keras_scan import require_harmless_file
from barlowtf.encoders.saved_model_scan import require_harmless
from barlowtf.errors import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
_MESSAGE = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName("tensorflow.SavedModel"))


class Encoder(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(tf.ones([12, 4]))

    @tf.function(input_signature=[tf.TensorSpec([None, 2, 2, 3], tf.float32, name="images")])
    def serve(self, images):
        return {"features": self.inner(images)}

    @tf.function
    def inner(self, images):
        return tf.reshape(images, [-1, 12]) @ self.kernel


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    encoder = Encoder()
    tf.saved_model.save(encoder, str(folder), signatures=encoder.serve)
    return folder


@pytest.fixture
def edited(saved, tmp_path):
    """Function that returns a copy of the model, its graph changed by a function."""

    def edit(change):
        folder = tmp_path / "edited"
        shutil.copytree(saved, folder, dirs_exist_ok=True)
        model = _MESSAGE.FromString((saved / "saved_model.pb").read_bytes())
        change(model.meta_graphs[0])
        (folder / "saved_model.pb").write_bytes(model.SerializeToString())
        return folder

    return edit


def functions(graph):
    return {function.signature.name: function for function in graph.graph_def.library.function}


def named(graph, part):
    return next(function for name, function in functions(graph).items() if part in name)


def test_an_encoder_is_loaded(saved):
    encoder = load(str(saved))
    assert encoder.width == 4
    assert encoder.features(np.zeros((1, 2, 2, 3), np.uint8)).shape == (1, 4)


@pytest.mark.parametrize("op", ["WriteFile", "ReadFile", "PyFunc", "EagerPyFunc", "PrintV2", "NotYetInvented"])
def test_each_function_and_the_main_graph_are_looked_at(edited, saved, op):
    count = len(functions(_MESSAGE.FromString((saved / "saved_model.pb").read_bytes()).meta_graphs[0]))
    assert count >= 4
    for number in range(count + 1):

        def add(graph, number=number):
            places = [*(function.node_def for function in functions(graph).values()), graph.graph_def.node]
            places[number].add(name="extra", op=op)

        with pytest.raises(CheckpointError, match=rf"runs the operation {op}, which no encoder needs. Add --trust"):
            load(str(edited(add)))


@pytest.mark.parametrize("op", ["SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"])
def test_file_operations_belong_to_saving_alone(edited, op):
    with pytest.raises(CheckpointError, match=f"runs the operation {op}"):
        require_harmless(edited(lambda graph: named(graph, "inner").node_def.add(name="extra", op=op)))


def test_functions_that_save_are_called_by_nothing_that_runs(edited):
    def call(graph):
        node = named(graph, "inner").node_def.add(name="extra", op="PartitionedCall")
        # An attribute of an attribute.
        node.attr["f"].func.name = "__inference_serve"
        node.attr["f"].func.attr["g"].func.name = named(graph, "traced_save").signature.name

    with pytest.raises(CheckpointError, match="traced_save.* runs the operation"):
        require_harmless(edited(call))

    def call_by_name(graph):
        named(graph, "inner").node_def.add(name="extra", op=named(graph, "traced_restore").signature.name)

    with pytest.raises(CheckpointError, match="traced_restore.* runs the operation"):
        require_harmless(edited(call_by_name))

    def replace(graph):
        named(graph, "traced_save").attr["api_implements"].s = b"inner"

    with pytest.raises(CheckpointError, match="traced_save.* runs the operation"):
        require_harmless(edited(replace))


def test_structures_that_no_encoder_needs_are_refused(edited, saved, tmp_path):
    def recurse(graph):
        inner = named(graph, "inner")
        inner.node_def.add(name="extra", op="PartitionedCall").attr["f"].func.name = inner.signature.name

    def explode(graph):
        for level in range(60):
            function = graph.graph_def.library.function.add()
            function.signature.name = f"level{level}"
            for number in range(2):
                node = function.node_def.add(name=f"n{number}", op="PartitionedCall" if level < 59 else "NoOp")
                node.attr["f"].func.name = f"level{level + 1}"

    def inflate(graph):
        tensor = named(graph, "inner").node_def.add(name="extra", op="Const").attr["value"].tensor
        tensor.dtype = tf.float32.as_datatype_enum
        tensor.tensor_shape.dim.add(size=2**40)
        tensor.float_val.append(1.0)

    def declare(graph):
        variable = next(node.variable for node in graph.object_graph_def.nodes if node.HasField("variable"))
        variable.shape.dim[0].size = 10**12

    cases = [
        (recurse, "calls itself"),
        (explode, "more than 10,000,000 operations"),
        (inflate, "a constant of 4,398,046,511,104 bytes"),
        (declare, "declares weights of 16,000,000,000,000 bytes, and its files hold "),
        (lambda graph: graph.ClearField("object_graph_def"), "TensorFlow 1"),
        (lambda graph: graph.asset_file_def.add(filename="../../secret"), "asset files"),
        (lambda graph: graph.object_graph_def.nodes.add().asset.SetInParent(), "asset files"),
    ]
    for change, reason in cases:
        with pytest.raises(CheckpointError, match=reason):
            load(str(edited(change)))
    twice = tmp_path / "twice"
    twice.mkdir()
    (twice / "saved_model.pb").write_bytes(2 * (saved / "saved_model.pb").read_bytes())
    with pytest.raises(CheckpointError, match="2 graphs, expected one"):
        load(str(twice))


@pytest.mark.parametrize(
    "name",
    ["a\nb", "\x1b[31m", "\u202e", "x" * 9999, "\U000e0001" * 99],
    ids=["line break", "color", "right to left", "long", "long when escaped"],
)
def test_names_in_a_file_are_shown_escaped_and_short(edited, name):
    def in_a_function(graph):
        named(graph, "inner").node_def.add().op = name

    def as_a_function(graph):
        added = graph.graph_def.library.function.add()
        added.signature.name = name
        added.node_def.add().op = name

    for change in (in_a_function, as_a_function):
        with pytest.raises(CheckpointError) as caught:
            require_harmless(edited(change))
        assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_damaged_files_are_one_line(saved, tmp_path):
    content = (saved / "saved_model.pb").read_bytes()
    draw = random.Random(15)
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="saved_model.pb is damaged"):
        load(str(tmp_path))
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(draw.randint(1, 4)):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        (tmp_path / "saved_model.pb").write_bytes(changed[: draw.choice([len(changed), draw.randrange(len(changed))])])
        try:
            require_harmless(tmp_path)
        except CheckpointError as error:
            assert "\n" not in str(error) and len(str(error)) < 500


def test_damaged_weights_are_one_line_without_names_of_nodes(edited):
    folder = edited(lambda graph: None)
    index = folder / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[:-30] + bytes(30))
    with pytest.raises(CheckpointError) as caught:
        load(str(folder))
    assert "Cannot read the SavedModel" in str(caught.value)
    assert not re.search(r"\{\{|__wrapped__|\[Op:|\n", str(caught.value))


class Attack(tf.saved_model.experimental.TrackableResource):
    """A resource whose initializer writes a file when the model is loaded."""

    def __init__(self, victim):
        super().__init__()
        self._victim = victim

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])

    def _initialize(self):
        tf.io.write_file(self._victim, "written by a model")

    def _destroy_resource(self):
        pass


def test_an_initializer_that_writes_a_file_runs_with_trust_alone(tmp_path):
    victim = tmp_path / "victim"
    encoder = Encoder()
    encoder.resource = Attack(str(victim))
    assert encoder.resource.resource_handle is not None
    tf.saved_model.save(encoder, str(tmp_path / "model"), signatures=encoder.serve)
    with pytest.raises(CheckpointError, match="runs the operation WriteFile"):
        load(str(tmp_path / "model"))
    assert not victim.exists()
    load(str(tmp_path / "model"), trust=True)
    assert victim.read_text() == "written by a model"


@pytest.mark.slow
def test_layers_of_keras_are_allowed(tmp_path):
    layers = keras.layers
    images = keras.Input((32, 32, 3))
    x = images
    for layer in (
        *(layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1), layers.RandomTranslation(0.1, 0.1)),
        *(layers.RandomContrast(0.1), layers.RandomBrightness(0.1), layers.RandomCrop(28, 28), layers.Resizing(32, 32)),
        *(layers.Rescaling(1 / 255), layers.Normalization(mean=[0.1] * 3, variance=[1.0] * 3), layers.Conv2D(4, 3)),
        *(layers.SeparableConv2D(4, 3), layers.Conv2DTranspose(4, 3, strides=2), layers.BatchNormalization()),
        *(layers.LayerNormalization(), layers.GroupNormalization(2), layers.UnitNormalization(), layers.PReLU()),
        *(layers.SpatialDropout2D(0.1), layers.MaxPooling2D(), layers.AveragePooling2D(2), layers.ZeroPadding2D()),
        *(layers.UpSampling2D(interpolation="bilinear"), layers.Cropping2D(), layers.GaussianNoise(0.1)),
        *(layers.LeakyReLU(), layers.ELU(), layers.Softmax(), layers.Dropout(0.1), layers.DepthwiseConv2D(3)),
    ):
        x = layer(x)
    sequence = layers.Reshape((-1, 4))(x)
    sequence = layers.Add()([layers.MultiHeadAttention(2, 4)(sequence, sequence), layers.Dense(4)(sequence)])
    sequence = layers.GRU(4, return_sequences=True)(sequence)
    sequence = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(sequence)
    names = "relu6 hard_silu mish selu tanh sigmoid softplus softsign exponential hard_sigmoid log_softmax celu silu"
    parts = [layers.GlobalMaxPooling2D()(layers.Activation(name)(x)) for name in ["gelu", *names.split()]]
    features = layers.Concatenate()([layers.GlobalAveragePooling1D()(sequence), *parts])
    model = keras.Model(images, features)
    model.export(str(tmp_path / "exported"), verbose=False)
    require_harmless(tmp_path / "exported")
    model.save(tmp_path / "model.keras")
    assert require_harmless_file(tmp_path / "model.keras") > 0
