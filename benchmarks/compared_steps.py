"""Training steps whose numbers are compared: what `benchmarks.exactness` runs on each strategy.

A gradient jumps where an input of a ReLU crosses 0. A step of the ResNet-18 has 352,000 of them, and float32 misses
those near 0 by up to 2e-6. Every few steps one lies on the other side on another number of replicas, or in float64; a
gradient then differs by up to a percent, and both values are right. `smallest_relu_inputs` tells which batches are
near such a jump.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import keras
import numpy as np
import tensorflow as tf

from barlowtf.models import BarlowTwins, make_encoder, make_projector
from barlowtf.models.layers import Layers
from barlowtf.models.resnet import basic_block
from barlowtf.models.stems import small_stem
from barlowtf.optim import LARS
from barlowtf.train.loop import compile_step

EXAMPLES = 40
SIZE = 8
# D, N, N / 2 and the channels of the encoder (8, 16, 32, 64) all differ: a matrix [80, 80] can only be the correlation.
WIDTHS = (48, 80)
# Weights; biases and normalization parameters. Those of the recipes at this batch size, after the warm-up.
RATES = (0.2 * EXAMPLES / 256, 0.0048 * EXAMPLES / 256)

Arrays = dict[str, np.ndarray]


class Case(NamedTuple):
    """The steps to take. Each run starts from the same weights, with a new optimizer."""

    encoder: str  # a name of `make_encoder`, or "two_blocks"
    runs: tuple[tuple[int, ...], ...]  # for each run the seeds of its batches; a seed occurs once
    start: tuple[np.ndarray, ...]  # float32, one array for each of the model's weights

    def save(self, path: Path) -> None:
        """Writes the case to an .npz file."""
        np.savez(path, *self.start, case=json.dumps([self.encoder, self.runs]))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote."""
        with np.load(path) as file:
            encoder, runs = json.loads(str(file["case"]))
            start = tuple(file[f"arr_{index}"] for index in range(len(file.files) - 1))
        return cls(encoder, tuple(map(tuple, runs)), start)


class Computed(NamedTuple):
    """What the steps computed.

    Names of the arrays, with the seed of a batch or the index of a run: "loss/BATCH/invariance",
    "gradients/BATCH/conv1/kernel", and as they are after the last step of a run "weights/RUN/conv1/kernel",
    "statistics/RUN/bn1/moving_mean".
    """

    arrays: Arrays
    graph: tf.Graph  # of the compiled step


class RecordingLARS(LARS):
    """Keeps the gradients of its last step, as it gets them: summed over replicas."""

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the state of LARS, and a place for each gradient."""
        super().build(variables)
        self.gradients = [
            self.add_variable(variable.shape, "zeros", variable.dtype, name=f"gradient_{index}")
            for index, variable in enumerate(variables)
        ]

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        """Keeps the gradient and goes on."""
        self.gradients[self._get_variable_index(variable)].value.assign(gradient)
        super().update_step(gradient, variable, learning_rate)


def make_batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns two views of the global batch, float32 [N, H, W, C]; brightness and contrast rise from first to last."""
    r = np.random.default_rng(seed)
    blocks = r.standard_normal((EXAMPLES, 2, 2, 3)).repeat(SIZE // 2, axis=1).repeat(SIZE // 2, axis=2)
    level = np.linspace(-0.5, 0.5, EXAMPLES)[:, None, None, None]
    images = 0.5 + level + (1.0 + level) * blocks
    return tuple(np.float32(images + r.standard_normal(images.shape)) for _ in range(2))


def make_model(encoder_name: str, form: str = "gram", dtype: str = "float32") -> BarlowTwins:
    """Returns the compiled model with the weights that the library starts it with, equal in every process.

    Args:
        encoder_name: See `Case`.
        form: Of the loss, "gram" or "correlation".
        dtype: Policy of encoder and projector.
    """
    shape = (SIZE, SIZE, 3)
    if encoder_name == "two_blocks":
        encoder = _two_blocks(shape, dtype)
    else:
        encoder = make_encoder(encoder_name, image_shape=shape, stem="small", dtype=dtype)
    projector = make_projector(encoder.output_shape[-1], WIDTHS, dtype=dtype)
    model = BarlowTwins(encoder, projector, form=form)
    model.compile(optimizer=RecordingLARS(*RATES), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def _two_blocks(shape: tuple[int, int, int], dtype: str) -> keras.Model:
    """Returns the stem and both kinds of blocks of a ResNet-18, whose step takes a core 50 seconds to trace."""
    layers = Layers(dtype, seed=0)
    images = keras.Input(shape, name="images")
    x = small_stem(layers, images, 8)
    x = basic_block(layers, x, 8, 1, "layer1_0")
    x = basic_block(layers, x, 16, 2, "layer2_0")  # Another shape: its shortcut is a convolution.
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="avgpool", dtype="float32")(x))


def share_out(strategy: tf.distribute.Strategy, batch: tuple[np.ndarray, np.ndarray]) -> Any:
    """Returns the batch as the compiled step takes it, a share for each replica in their order."""
    share = EXAMPLES // strategy.num_replicas_in_sync

    def of_replica(context: tf.distribute.experimental.ValueContext) -> tuple[tf.Tensor, ...]:
        first = share * context.replica_id_in_sync_group
        return tuple(tf.constant(view[first : first + share]) for view in batch)

    return strategy.experimental_distribute_values_from_function(of_replica)


def trained_weights(encoder_name: str, seeds: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Returns the model's weights after one step on each of these batches, on one replica in float32.

    A recipe starts gamma at the end of each residual branch at 0, which hides the gradients of the branch; these steps
    move it.
    """
    strategy = tf.distribute.get_strategy()
    model = make_model(encoder_name)
    step = compile_step(model, strategy, xla=False)
    for seed in seeds:
        step(share_out(strategy, make_batch(seed)))
    return tuple(model.get_weights())


def run(strategy: tf.distribute.Strategy, case: Case, form: str, dtype: str = "float32") -> Computed:
    """Takes the steps of the case, on the same weights and global batches whatever the strategy.

    Args:
        strategy: Shares out each batch; all shares are equal.
        case: The steps.
        form: Of the loss, "gram" or "correlation".
        dtype: Policy of encoder and projector.
    """
    with strategy.scope():
        model = make_model(case.encoder, form, dtype)
    step = compile_step(model, strategy, xla=False)
    new_optimizer = _optimizer_state(model)
    arrays: Arrays = {}
    for index, seeds in enumerate(case.runs):
        _start(model, case, new_optimizer)
        for seed in seeds:
            batch = share_out(strategy, make_batch(seed))
            logs = step(batch)
            arrays |= {f"loss/{seed}/{name}": logs[name].numpy() for name in ("loss", "invariance", "redundancy")}
            for variable, gradient in zip(model.trainable_variables, model.optimizer.gradients, strict=True):
                arrays[f"gradients/{seed}/{variable.path}"] = gradient.numpy()
        for variable in model.weights:
            kind = "weights" if variable.trainable else "statistics"
            arrays[f"{kind}/{index}/{variable.path}"] = variable.numpy()
    return Computed(arrays, step.get_concrete_function(batch).graph)


def _start(model: BarlowTwins, case: Case, optimizer_state: Arrays) -> None:
    model.set_weights(case.start)
    for variable in model.optimizer.variables:
        variable.assign(optimizer_state[variable.path])


def _optimizer_state(model: BarlowTwins) -> Arrays:
    return {variable.path: variable.numpy() for variable in model.optimizer.variables}


def smallest_relu_inputs(case: Case) -> dict[int, float]:
    """Returns for the seed of each batch the smallest |input of a ReLU| at its step, on one replica in float32."""
    strategy = tf.distribute.get_strategy()
    model = make_model(case.encoder)
    step = compile_step(model, strategy, xla=False)
    encoder, projector = (_with_relu_inputs(part) for part in (model.encoder, model.projector))

    @tf.function
    def smallest(view: tf.Tensor) -> tf.Tensor:
        *of_encoder, features = encoder([view], training=True)
        *of_projector, _ = projector([features], training=True)
        return tf.reduce_min([tf.reduce_min(tf.abs(tensor)) for tensor in of_encoder + of_projector])

    found, new_optimizer = {}, _optimizer_state(model)
    for seeds in case.runs:
        _start(model, case, new_optimizer)
        for seed in seeds:
            before, batch = model.get_weights(), make_batch(seed)
            found[seed] = min(float(smallest(tf.constant(view))) for view in batch)
            model.set_weights(before)  # Looking has moved the running statistics.
            step(share_out(strategy, batch))
    return found


def _with_relu_inputs(part: keras.Model) -> keras.Model:
    relus = [layer.input for layer in part.layers if isinstance(layer, keras.layers.ReLU)]
    return keras.Model(part.inputs, [*relus, part.output])
