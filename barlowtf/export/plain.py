"""An encoder made of Keras' own layers in float32, as it is or with its normalizations folded into its convolutions.

What is exported must load where barlowtf is not installed, and run where bfloat16 is slow or missing.
"""

from collections.abc import Sequence

import keras
import numpy as np

from barlowtf.models.normalization import EPSILON, MOMENTUM


def plain_encoder(encoder: keras.Model) -> keras.Model:
    """Returns a copy in Keras' own layers, float32, of equal weights; it can be trained on.

    Args:
        encoder: See `barlowtf.models.make_encoder`.

    Returns:
        Functional model of the same name and layer names.

    Raises:
        ValueError: A layer has weights and is neither a convolution, a linear layer nor a batch normalization.
    """
    copy = keras.models.clone_model(encoder, clone_function=_plain_layer)
    for layer, source in zip(copy.layers, encoder.layers, strict=True):
        layer.set_weights(source.get_weights())
    return copy


def folded_encoder(encoder: keras.Model, *, input_std: Sequence[float] | None = None) -> keras.Model:
    """Returns a copy for inference alone: each normalization is part of the convolution or linear layer before it.

    With running mean m and variance v, γ (w x - m) / √(v + ε) + β = w' x + b', where w' = γ w / √(v + ε) for each
    output channel and b' = β - γ m / √(v + ε): equal but for rounding, with fewer passes over memory.

    Args:
        encoder: See `barlowtf.models.make_encoder` and `make_projector`.
        input_std: By what the copy divides its input, one value or one a channel: part of its first layer, too.

    Raises:
        ValueError: As `plain_encoder`, or a normalization follows no layer of which it could become a part.
    """
    before = _layers_before_normalizations(encoder)
    folded = {layer.name for layer in before.values()}

    def fold(layer: keras.Layer) -> keras.Layer:
        if layer.name in before:
            return keras.layers.Activation("linear", name=layer.name, dtype="float32")
        return _plain_layer(layer, use_bias=layer.name in folded or None)

    copy = keras.models.clone_model(encoder, clone_function=fold)
    for name, layer in before.items():
        copy.get_layer(layer.name).set_weights(_folded_weights(layer, encoder.get_layer(name)))
    for source in encoder.layers:
        if source.name not in folded and source.name not in before:
            copy.get_layer(source.name).set_weights(source.get_weights())
    if input_std is not None:
        first = next(layer for layer in copy.layers if layer.weights)
        kernel, *bias = first.get_weights()
        first.set_weights([kernel / np.reshape(input_std, (-1, 1)), *bias])
    return copy


def _plain_layer(layer: keras.Layer, *, use_bias: bool | None = None) -> keras.Layer:
    """Returns a layer of Keras with the settings of `layer`, without its weights."""
    name = {"name": layer.name, "dtype": "float32"}
    if _is_normalization(layer):
        return keras.layers.BatchNormalization(epsilon=_epsilon(layer), momentum=MOMENTUM, **name)
    kinds = [kind for kind in (keras.layers.Conv2D, keras.layers.Dense) if isinstance(layer, kind)]
    if layer.weights and not kinds:
        raise ValueError(f"Received a layer {layer.name} of kind {type(layer).__name__}. Expected those of a ResNet.")
    config = layer.get_config() | name | ({} if use_bias is None else {"use_bias": use_bias})
    return (kinds[0] if kinds else type(layer)).from_config(config)


def _is_normalization(layer: keras.Layer) -> bool:
    return {weight.name for weight in layer.weights} == {"gamma", "beta", "moving_mean", "moving_variance"}


def _epsilon(normalization: keras.Layer) -> float:
    return getattr(normalization, "epsilon", EPSILON)


def _layers_before_normalizations(encoder: keras.Model) -> dict[str, keras.Layer]:
    """Returns the convolution or linear layer that feeds each normalization, by the normalization's name."""
    makers = {id(layer.output): layer for layer in encoder.layers}
    before = {}
    for layer in encoder.layers:
        if _is_normalization(layer):
            maker = makers.get(id(layer.input))
            if not isinstance(maker, keras.layers.Conv2D | keras.layers.Dense) or maker.use_bias:
                raise ValueError(
                    f"Received a normalization {layer.name} that follows {getattr(maker, 'name', 'no layer')}. "
                    "Expected a convolution or linear layer without bias."
                )
            before[layer.name] = maker
    return before


def _folded_weights(layer: keras.Layer, normalization: keras.Layer) -> list[np.ndarray]:
    """Returns kernel and bias of a layer and its normalization as one; in float64 on the way."""
    (kernel,) = (weight.astype(np.float64) for weight in layer.get_weights())
    weights = {weight.name: np.asarray(weight.numpy(), np.float64) for weight in normalization.weights}
    scale = weights["gamma"] / np.sqrt(weights["moving_variance"] + _epsilon(normalization))
    return [kernel * scale, weights["beta"] - weights["moving_mean"] * scale]
