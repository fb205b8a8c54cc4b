"""A network that Keras has made, made again layer by layer with barlowtf's layers, precision and seeds.

What changes on the way:

1. `keras.layers.BatchNormalization` becomes barlowtf's, whose statistics are those of the global batch.
2. A convolution of as many groups as channels becomes a depthwise one, the same operation: its gradient is there on
   every device, and exports know it.
3. Dropout is left out.
4. A sequence of layers inside becomes its layers.
5. Layers that Keras has numbered are numbered from the network's own first one: their names do not depend on what else
   a process has made.
"""

import re
from typing import Any

import keras
import numpy as np

from barlowtf.models.layer_names import given_name
from barlowtf.models.layers import layer_seed
from barlowtf.models.normalization import BatchNormalization


def rebuild(
    original: keras.Model,
    *,
    name: str,
    image_shape: tuple[int | None, int | None, int],
    dtype: str | None,
    seed: int,
    copy_weights: bool = False,
) -> keras.Model:
    """Returns a network again, for images of another shape and with first weights of its own.

    Args:
        original: Functional model, images [N, H, W, c] -> features [N, d]; its last global pooling and what follows
            become float32 whatever the policy.
        name: Of the result.
        image_shape: Height, width and channels; the first two may be None.
        dtype: Keras dtype policy; None: the global one.
        seed: Seed of the first weights, >= 0; those of a layer follow from it and the layer's name.
        copy_weights: Whether the result has the weights of the original instead, which takes images of as many
            channels.

    Raises:
        ValueError: The images are too small, or a layer cannot be made again.
    """
    layers = _Layers(_last_layers(original), dtype, seed)
    images = keras.Input(image_shape, dtype="float32", name="images")
    copy = keras.models.clone_model(original, images, clone_function=layers.remake, call_function=_call_in_turn)
    if copy_weights:
        for source, remade in layers.pairs:
            remade.set_weights(_weights_for(source, remade))
    return keras.Model(images, copy.output, name=name)


def _call_in_turn(operations: list[Any], *arguments: Any, **named: Any) -> Any:
    """Calls what an operation of the original became, one after the other; nothing, where it was left out."""
    if not operations:
        return arguments[0]
    first, *others = operations
    # A mask is handed on by layers that have none.
    x = first(*arguments, **{key: value for key, value in named.items() if key != "mask"})
    for operation in others:
        x = operation(x)
    return x


class _Layers:
    """Makes layers again, and keeps which one came from which."""

    def __init__(self, wide: set[str], dtype: str | None, seed: int) -> None:
        self.pairs: list[tuple[keras.Layer, keras.Layer]] = []
        self._wide = wide
        self._dtype = keras.config.dtype_policy().name if dtype is None else dtype
        self._seed = seed
        self._numbers: dict[str, int] = {}

    def remake(self, operation: Any) -> list[Any]:
        """Returns what an operation or layer of the original becomes, to be called one after the other."""
        if isinstance(operation, keras.layers.Dropout):
            return []
        if isinstance(operation, keras.Sequential):
            return [remade for layer in operation.layers for remade in self.remake(layer)]
        if not isinstance(operation, keras.Layer):
            return [self._again(type(operation), operation.get_config(), operation)]
        remade = self._remake_layer(operation)
        if operation.weights:
            self.pairs.append((operation, remade))
        return [remade]

    def _remake_layer(self, layer: keras.Layer) -> keras.Layer:
        options = {"dtype": "float32" if layer.name in self._wide else self._dtype}
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            options |= {"epsilon": layer.epsilon, "gamma_initializer": config["gamma_initializer"]}
            return self._again(BatchNormalization, {"name": layer.name}, layer, options)
        if isinstance(layer, keras.layers.Conv2D) and layer.groups == layer.filters > 1:
            kept = ("name", "strides", "padding", "use_bias", "kernel_size", "bias_initializer")
            options |= {"depthwise_initializer": config["kernel_initializer"]}
            config = {key: config[key] for key in kept}
            return self._again(keras.layers.DepthwiseConv2D, config, layer, options)
        return self._again(type(layer), config, layer, options)

    def _again(self, kind: Any, config: dict[str, Any], source: Any, options: Any = None) -> Any:
        config = {**config, **(options or {}), "name": self._name(source)}
        return kind.from_config(_seeded(config, self._seed))

    def _name(self, source: Any) -> str:
        """Returns an operation's name, or the kind and a number from 0 where Keras has given it its name."""
        given = given_name(type(source).__name__)
        if re.fullmatch(rf"{given}(_\d+)?", source.name) is None:
            return source.name
        number = self._numbers.get(given, 0)
        self._numbers[given] = number + 1
        return f"{given}_{number}" if number else given


def _seeded(config: dict[str, Any], seed: int) -> dict[str, Any]:
    """Returns a layer's configuration whose initializers draw from seeds of their own."""
    seeded = dict(config)
    for key, value in config.items():
        if isinstance(value, dict) and "seed" in value.get("config", {}):
            inner = {**value["config"], "seed": layer_seed(seed, f"{config['name']}/{key}")}
            seeded[key] = {**value, "config": inner}
    return seeded


def _weights_for(source: keras.Layer, remade: keras.Layer) -> list[np.ndarray]:
    weights = source.get_weights()
    if isinstance(remade, keras.layers.DepthwiseConv2D) and not isinstance(source, keras.layers.DepthwiseConv2D):
        # [k, k, 1, C] -> [k, k, C, 1]
        weights[0] = weights[0].transpose(0, 1, 3, 2)
    return weights


def _last_layers(original: keras.Model) -> set[str]:
    """Returns the names of the last global pooling and of the layers behind it."""
    names = [layer.name for layer in original.layers]
    poolings = [
        number for number, layer in enumerate(original.layers) if isinstance(layer, keras.layers.GlobalAveragePooling2D)
    ]
    return set(names[poolings[-1] :])
