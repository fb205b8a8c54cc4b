"""An encoder made of Keras' own layers in float32, as it is or with its normalizations folded into its convolutions.

What is exported must load where barlowtf is not installed, and run where bfloat16 is slow or missing.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import keras
import numpy as np

from barlowtf.errors import ExportError
from barlowtf.models import BatchNormalization
from barlowtf.models.convolution import Convolution
from barlowtf.models.folding import find_folds
from barlowtf.models.normalization import EPSILON, MOMENTUM


def plain_encoder(encoder: keras.Model, *, image_shape: tuple[int | None, ...] | None = None) -> keras.Model:
    """Returns a copy in Keras' own layers, float32, of equal weights; it can be trained on.

    Args:
        encoder: A functional model, see `barlowtf.models.make_encoder`. Layers that are neither Keras' nor barlowtf's
            are copied as they are, or by their method `by_keras_operations(x)` where they have one: it returns what the
            layer makes of a symbolic tensor, by operations and layers of Keras alone and without weights.
        image_shape: Shape of the images that the copy takes; None: as the encoder. What can be computed from a known
            shape is then a constant.

    Returns:
        Functional model of the same name and layer names.

    Raises:
        ExportError: A layer cannot be copied.
    """
    copy = _clone(encoder, _plain_layer, image_shape)
    _copy_weights(encoder, copy)
    return copy


def folded_encoder(
    encoder: keras.Model,
    folds: Mapping[str, str] | None = None,
    *,
    input_std: Sequence[float] | None = None,
    image_shape: tuple[int | None, ...] | None = None,
) -> keras.Model:
    """Returns a copy for inference alone: normalizations are part of the convolutions or linear layers before them.

    With running mean m and variance v, γ (w x - m) / √(v + ε) + β = w' x + b', where w' = γ w / √(v + ε) for each
    output channel and b' = β - γ m / √(v + ε): equal but for rounding, with fewer passes over memory.

    Args:
        encoder: See `barlowtf.models.make_encoder` and `make_projector`.
        folds: Normalization -> layer that it becomes a part of; None: see `barlowtf.models.folding.find_folds`.
        input_std: Deviation by which the copy divides its input, one value or one a channel: part of its first layer.
        image_shape: As of `plain_encoder`.

    Raises:
        ExportError: A layer cannot be copied, or the first layer with weights cannot divide.
    """
    before = find_folds(encoder) if folds is None else folds
    folded = set(before.values())

    def fold(layer: Any) -> Any:
        if layer.name in before:
            return keras.layers.Activation("linear", name=layer.name, dtype="float32")
        return _plain_layer(layer, **({"use_bias": True} if layer.name in folded else {}))

    copy = _clone(encoder, fold, image_shape)
    _copy_weights(encoder, copy, without={*folded, *before})
    for name, target in before.items():
        copy.get_layer(target).set_weights(_folded_weights(encoder.get_layer(target), encoder.get_layer(name)))
    if input_std is not None:
        _divide_input(copy, input_std)
    return copy


def _divide_input(encoder: keras.Model, deviation: Sequence[float]) -> None:
    first = next(layer for layer in encoder.layers if layer.weights)
    if not isinstance(first, keras.layers.Conv2D | keras.layers.Dense):
        raise ExportError(
            f"The layer {first.name} of the encoder {encoder.name} cannot divide images by their deviation: received "
            f"{type(first).__name__}, expected a convolution or linear layer. Leave out the rule for folding."
        )
    kernel, *bias = first.get_weights()
    first.set_weights([kernel / np.reshape(deviation, (-1, 1)), *bias])


def _copy_weights(encoder: keras.Model, copy: keras.Model, *, without: Set[str] = frozenset()) -> None:
    """Gives the layers of a copy the weights of their originals; layers without weights need not be there."""
    for source in encoder.layers:
        if source.weights and source.name not in without:
            copy.get_layer(source.name).set_weights(source.get_weights())


def _clone(
    model: keras.Model, clone: Callable[[Any], Any], image_shape: tuple[int | None, ...] | None = None
) -> keras.Model:
    if isinstance(model, keras.Sequential):
        return keras.models.clone_model(model, clone_function=clone)
    images = None
    if image_shape is not None and image_shape != model.input_shape[1:]:
        images = keras.Input(image_shape, dtype=model.inputs[0].dtype, name=model.inputs[0].name)
    return keras.models.clone_model(model, images, clone_function=clone, call_function=_call)


def _call(layer: Any, *arguments: Any, **named: Any) -> Any:
    """Calls a layer as its original was called; an original may take a mask that there is none of."""
    if hasattr(layer, "by_keras_operations"):
        return layer.by_keras_operations(*arguments)
    return layer(*arguments, **{name: value for name, value in named.items() if name != "mask" or value is not None})


def _plain_layer(layer: Any, **changes: Any) -> Any:
    """Returns a layer of Keras with the settings of `layer`, float32, without its weights; a copy of an operation."""
    if not isinstance(layer, keras.Layer):
        return type(layer).from_config(layer.get_config())
    if isinstance(layer, BatchNormalization):
        return keras.layers.BatchNormalization(
            epsilon=layer.epsilon, momentum=MOMENTUM, name=layer.name, dtype="float32"
        )
    if isinstance(layer, keras.Model) and isinstance(layer.inputs, list):
        return _clone(layer, _plain_layer)
    kind = keras.layers.Conv2D if isinstance(layer, Convolution) else type(layer)
    try:
        config = layer.get_config()
        if isinstance(layer, Convolution):
            del config["border"]
        return kind.from_config(config | {"dtype": "float32"} | changes)
    except (NotImplementedError, TypeError) as error:
        raise ExportError(
            f"The layer {layer.name} of kind {type(layer).__name__} cannot be copied: {error}. Expected a layer of "
            "Keras, or one whose get_config() holds all arguments of its constructor."
        ) from error


def _folded_weights(layer: keras.Layer, normalization: keras.Layer) -> list[np.ndarray]:
    """Returns kernel and bias of a layer and its normalization as one; in float64 on the way."""
    (kernel,) = (weight.astype(np.float64) for weight in layer.get_weights())
    weights = {weight.name: np.asarray(weight.numpy(), np.float64) for weight in normalization.weights}
    epsilon = getattr(normalization, "epsilon", EPSILON)
    scale = weights["gamma"] / np.sqrt(weights["moving_variance"] + epsilon)
    # Of a depthwise kernel [k, k, C, m], C m output channels, channel after channel.
    by_output = scale.reshape(kernel.shape[2:]) if isinstance(layer, keras.layers.DepthwiseConv2D) else scale
    return [kernel * by_output, weights["beta"] - weights["moving_mean"] * scale]
