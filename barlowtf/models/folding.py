"""Which batch normalizations can become a part of the layer before them, once running statistics are used."""

from collections import Counter

import keras


def is_batch_normalization(layer: keras.Layer) -> bool:
    """Returns whether a layer normalizes each channel by running statistics, with a gain and an offset."""
    return {weight.name for weight in layer.weights} == {"gamma", "beta", "moving_mean", "moving_variance"}


def find_folds(model: keras.Model) -> dict[str, str]:
    """Returns for each normalization that can be folded the layer that it becomes a part of, both by name.

    That is a convolution or linear layer without bias and activation, whose output nothing but the normalization reads.

    Args:
        model: A functional model.
    """
    makers = {id(layer.output): layer for layer in model.layers}
    readers = Counter(id(tensor) for operation in model.operations for tensor in _inputs(operation))
    readers.update(id(tensor) for tensor in model.outputs)
    folds = {}
    for layer in model.layers:
        if not is_batch_normalization(layer):
            continue
        maker = makers.get(id(layer.input))
        if maker is not None and _is_linear_map(maker) and readers[id(maker.output)] == 1:
            folds[layer.name] = maker.name
    return folds


def _inputs(operation: keras.Operation) -> list[keras.KerasTensor]:
    if isinstance(operation, keras.layers.InputLayer):
        return []
    return operation.input if isinstance(operation.input, list) else [operation.input]


def _is_linear_map(layer: keras.Layer) -> bool:
    kinds = keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Dense
    return isinstance(layer, kinds) and not layer.use_bias and layer.activation is keras.activations.linear
