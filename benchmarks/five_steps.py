"""Five training steps whose numbers can be compared to 1e-5: what `benchmarks.exactness` runs on each strategy.

What they are made of, so that a comparison measures the code and not how the network amplifies roundings:

1. Gamma at the end of a residual branch is 0.05 to 0.15. A recipe starts it at 0, which hides the branch's gradients;
   around 1 the normalizations in a row amplify roundings until one replica in float32 is by itself 1.3e-5 from float64.
2. A gradient jumps where an input of a ReLU crosses 0. A step has 352,000 of them, float32 misses those near 0 by up to
   2e-6, and every few steps one falls on the other side: then a gradient differs by a percent and is right on both. So
   batches are drawn until no ReLU has an input within `MARGIN` of 0; `python -m benchmarks.exactness --choose` does it.
3. Of the fifth step's batches the second such is taken (seed 5258, not 4870). In the first the sum over positions that
   is the gradient of layer1_1_bn2/beta nearly cancels: there one replica in float32 is 8.5e-6 from float64, and four
   replicas were 1.1e-5 from one; in all other gradients 4.3e-6 at most.
4. Rates are the recipes' at this batch size, after the warm-up. At eight times as much the differences grow with each
   step: the median over the gradients from 1.4e-6 in the first to 6e-6 in the fifth.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from barlowtf.models import BarlowTwins, make_encoder, make_projector
from barlowtf.models.layers import Layers
from barlowtf.models.resnet import basic_block
from barlowtf.models.stems import small_stem
from barlowtf.optim import LARS
from barlowtf.train.loop import compile_step

STEPS = 5
EXAMPLES = 40
SIZE = 8
# D, N, N / 2 and the channels of the encoder (8, 16, 32, 64) all differ: a matrix [80, 80] can only be the correlation.
WIDTHS = (48, 80)
# Weights; biases and normalization parameters.
RATES = (0.2 * EXAMPLES / 256, 0.0048 * EXAMPLES / 256)
MARGIN = 1e-5
# Encoder -> seed of each step's batch. "two_blocks" is for tests: tracing the step of four replicas of a ResNet-18, the
# smallest that `make_encoder` knows, takes a core 50 seconds. It is made of the same stem and blocks, both kinds.
SEEDS = {"resnet18_w0p125": (207, 1300, 2189, 3573, 5258), "two_blocks": (4, 1001, 2016, 3002, 4005)}

Arrays = dict[str, np.ndarray]


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


class Computed(NamedTuple):
    """What five steps computed."""

    arrays: (
        Arrays  # by kind and name: "loss/0/invariance", "gradients/2/conv1/kernel" (third step), "weights/conv1/kernel"
    )
    graph: tf.Graph  # of the compiled step


def make_batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns two views of the global batch, float32 [N, H, W, C]; brightness and contrast rise from first to last."""
    r = np.random.default_rng(seed)
    blocks = r.standard_normal((EXAMPLES, 2, 2, 3)).repeat(SIZE // 2, axis=1).repeat(SIZE // 2, axis=2)
    level = np.linspace(-0.5, 0.5, EXAMPLES)[:, None, None, None]
    images = 0.5 + level + (1.0 + level) * blocks
    return tuple(np.float32(images + r.standard_normal(images.shape)) for _ in range(2))


def make_model(encoder_name: str, form: str, dtype: str) -> BarlowTwins:
    """Returns the compiled model with the same first weights in every process and dtype."""
    shape = (SIZE, SIZE, 3)
    if encoder_name == "two_blocks":
        encoder = _two_blocks(shape, dtype)
    else:
        encoder = make_encoder(encoder_name, image_shape=shape, stem="small", dtype=dtype)
    projector = make_projector(encoder.output_shape[-1], WIDTHS, dtype=dtype)
    model = BarlowTwins(encoder, projector, form=form)
    r = np.random.default_rng(0)
    model.set_weights([_first_value(r, variable) for variable in model.weights])
    model.compile(optimizer=RecordingLARS(*RATES), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def _two_blocks(shape: tuple[int, int, int], dtype: str) -> keras.Model:
    layers = Layers(dtype, seed=0)
    images = keras.Input(shape, name="images")
    x = small_stem(layers, images, 8)
    x = basic_block(layers, x, 8, 1, "layer1_0")
    x = basic_block(layers, x, 16, 2, "layer2_0")  # Another shape: its shortcut is a convolution.
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="avgpool", dtype="float32")(x))


def _first_value(r: np.random.Generator, variable: keras.Variable) -> np.ndarray:
    layer, name = variable.path.split("/")[-2:]
    if name == "kernel":
        value = r.standard_normal(variable.shape) * np.sqrt(2 / np.prod(variable.shape[:-1]))
    elif name == "gamma":
        ends_branch = layer.startswith("layer") and layer.endswith("bn2")
        value = r.uniform(0.5, 1.5, variable.shape) * (0.1 if ends_branch else 1.0)
    elif name == "beta":
        value = 0.1 * r.standard_normal(variable.shape)
    else:
        value = np.full(variable.shape, {"moving_mean": 0.0, "moving_variance": 1.0}[name])
    return np.float32(value)


def share_out(strategy: tf.distribute.Strategy, batch: tuple[np.ndarray, np.ndarray]) -> Any:
    """Returns the batch as the compiled step takes it, a share for each replica in their order."""
    share = EXAMPLES // strategy.num_replicas_in_sync

    def of_replica(context: tf.distribute.experimental.ValueContext) -> tuple[tf.Tensor, ...]:
        first = share * context.replica_id_in_sync_group
        return tuple(tf.constant(view[first : first + share]) for view in batch)

    return strategy.experimental_distribute_values_from_function(of_replica)


def run(
    strategy: tf.distribute.Strategy, form: str, dtype: str = "float32", encoder: str = "resnet18_w0p125"
) -> Computed:
    """Takes five steps from the same weights, on the same global batches, whatever the strategy.

    Args:
        strategy: Shares out each batch; all shares are equal.
        form: Of the loss, "gram" or "correlation".
        dtype: Policy of encoder and projector.
        encoder: A key of `SEEDS`.
    """
    with strategy.scope():
        model = make_model(encoder, form, dtype)
    step = compile_step(model, strategy, xla=False)
    arrays: Arrays = {}
    for index, seed in enumerate(SEEDS[encoder]):
        batch = share_out(strategy, make_batch(seed))
        logs = step(batch)
        arrays |= {f"loss/{index}/{name}": logs[name].numpy() for name in ("loss", "invariance", "redundancy")}
        for variable, gradient in zip(model.trainable_variables, model.optimizer.gradients, strict=True):
            arrays[f"gradients/{index}/{variable.path}"] = gradient.numpy()
    for variable in model.weights:
        kind = "weights" if variable.trainable else "statistics"
        arrays[f"{kind}/{variable.path}"] = variable.numpy()
    return Computed(arrays, step.get_concrete_function(batch).graph)


def smallest_relu_inputs(encoder_name: str, candidates: Callable[[int], Iterable[int]]) -> list[tuple[int, float]]:
    """Returns for each step the first candidate whose batch keeps `MARGIN`, and its smallest |input of a ReLU|.

    Args:
        encoder_name: A key of `SEEDS`.
        candidates: Index of a step -> seeds to try; the last one is taken where none keeps the margin.
    """
    strategy = tf.distribute.get_strategy()
    model = make_model(encoder_name, "gram", "float32")
    step = compile_step(model, strategy, xla=False)
    encoder, projector = (_with_relu_inputs(part) for part in (model.encoder, model.projector))

    @tf.function
    def smallest(view: tf.Tensor) -> tf.Tensor:
        *of_encoder, features = encoder([view], training=True)
        *of_projector, _ = projector([features], training=True)
        return tf.reduce_min([tf.reduce_min(tf.abs(tensor)) for tensor in of_encoder + of_projector])

    chosen = []
    for index in range(STEPS):
        before = model.get_weights()
        for seed in candidates(index):
            batch = make_batch(seed)
            margin = min(float(smallest(tf.constant(view))) for view in batch)
            if margin >= MARGIN:
                break
        model.set_weights(before)  # Looking has moved the running statistics.
        chosen.append((seed, margin))
        step(share_out(strategy, batch))
    return chosen


def _with_relu_inputs(part: keras.Model) -> keras.Model:
    relus = [layer.input for layer in part.layers if isinstance(layer, keras.layers.ReLU)]
    return keras.Model(part.inputs, [*relus, part.output])
