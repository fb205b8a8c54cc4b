"""Channels of a more equal range, so that eight bits per tensor lose less; the encoder's features stay the same.

A quantized tensor has one step for all its channels, as wide as the largest of them needs; a channel of a tenth of that
range is left with a tenth of the steps. Scaling by s > 0 passes through ReLU, padding, pooling and sums. So the layer
that writes a tensor may divide channel c by s_c and the layers that read it multiply by s_c, with the same result.

s_c is the square root of what channel c reaches: all of it would make the channels alike, and the weights that read
them as unequal as the channels were, and these are quantized, too.

Source: Nagel et al., arXiv:1906.04721, section 4.1, there by the ranges of weights; the root as in arXiv:2211.10438,
equation 4.
"""

import keras
import numpy as np

# Layers through which a scale passes; the activation "linear" is what is left of a folded normalization.
_TRANSPARENT = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.Add,
    keras.layers.ZeroPadding2D,
    keras.layers.MaxPooling2D,
    keras.layers.GlobalAveragePooling2D,
)
# A channel reaches as far as this share of its values, percent; a few outliers say little about it.
_REACH = 99.9
# Channels that hardly speak are not blown up beyond this share of the largest.
_LEAST = 0.01


def can_equalize(encoder: keras.Model) -> bool:
    """Returns whether scales pass through all layers, so that `equalize` can change the encoder's weights.

    Args:
        encoder: A functional model, see `folded_encoder`.
    """
    return len(encoder.operations) == len(encoder.layers) and all(
        isinstance(layer, keras.layers.InputLayer) or _is_linear_map(layer) or _is_transparent(layer)
        for layer in encoder.layers
    )


def _is_transparent(layer: keras.Layer) -> bool:
    if isinstance(layer, keras.layers.Activation):
        return layer.activation in (keras.activations.linear, keras.activations.relu)
    if isinstance(layer, keras.layers.ReLU):
        return layer.max_value is None and not layer.threshold
    return isinstance(layer, _TRANSPARENT)


def _is_linear_map(layer: keras.Layer) -> bool:
    if not isinstance(layer, keras.layers.Conv2D | keras.layers.Dense) or len(layer.weights) != 2:
        return False
    return layer.activation is keras.activations.linear and getattr(layer, "groups", 1) == 1


def equalize(encoder: keras.Model, images: np.ndarray) -> np.ndarray:
    """Changes an encoder's weights so that the channels of each tensor reach more equally far on some images.

    Args:
        encoder: See `folded_encoder` and `can_equalize`; its features are divided by the result.
        images: Some dozens as the encoder takes them, float32 [n, H, W, C].

    Returns:
        s, float32 [d], > 0: features before = features after * s.

    Raises:
        ValueError: A layer is of an unknown kind.
    """
    groups = _groups(encoder)
    scale = {group: _scale(reach) for group, reach in _reach(encoder, groups, images).items()}
    # What comes in stays as it is.
    scale.pop(groups[encoder.inputs[0].name], None)
    for layer in encoder.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            read = scale.get(groups[layer.input.name], np.ones(1))
            written = scale[groups[layer.output.name]]
            layer.set_weights([kernel * read[:, None] / written, bias / written])
    return scale[groups[encoder.outputs[0].name]].astype(np.float32)


def _scale(reach: np.ndarray) -> np.ndarray:
    """Returns s [channels], its geometric mean 1."""
    root = np.sqrt(np.maximum(reach, max(_LEAST * reach.max(), np.finfo(np.float32).tiny)))
    return root / np.exp(np.log(root).mean())


def _groups(encoder: keras.Model) -> dict[str, str]:
    """Returns for the name of each tensor the name that stands for all tensors that must share their scales."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for layer in encoder.layers:
        output = find(layer.output.name)
        if isinstance(layer, keras.layers.InputLayer) or layer.weights:
            continue
        if not isinstance(layer, _TRANSPARENT):
            raise ValueError(
                f"Invalid encoder: received the layer {layer.name} of kind {type(layer).__name__}, expected layers "
                "of a folded ResNet."
            )
        for tensor in _inputs(layer):
            parent[find(tensor.name)] = output
    return {name: find(name) for name in parent}


def _reach(encoder: keras.Model, groups: dict[str, str], images: np.ndarray) -> dict[str, np.ndarray]:
    """Returns how far each channel of each group reaches, float64 [channels]."""
    before_relu = {
        tensor.name for layer in encoder.layers if isinstance(layer, keras.layers.ReLU) for tensor in _inputs(layer)
    }
    # What a ReLU follows is never stored: it is one operation with it. Padding adds zeros alone.
    measured = [
        layer.output
        for layer in encoder.layers
        if isinstance(layer, _TRANSPARENT)
        and not isinstance(layer, keras.layers.ZeroPadding2D)
        and layer.output.name not in before_relu
    ]
    values = keras.Model(encoder.input, measured).predict_on_batch(images)
    reach: dict[str, np.ndarray] = {}
    for tensor, value in zip(measured, values, strict=True):
        of_channels = np.percentile(np.abs(value).reshape(-1, value.shape[-1]), _REACH, axis=0).astype(np.float64)
        group = groups[tensor.name]
        reach[group] = np.maximum(reach.get(group, of_channels), of_channels)
    return reach


def _inputs(layer: keras.Layer) -> list[keras.KerasTensor]:
    return layer.input if isinstance(layer.input, list) else [layer.input]
