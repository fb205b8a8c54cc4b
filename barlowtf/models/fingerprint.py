"""What names a model, wherever it lies: two models of equal weights, or of equal architecture, have the same digests.

Names that Keras gives by itself ("conv2d_7") depend on how many layers a process has made before. In digests they are
counted from the model's own first layer.
"""

import functools
import hashlib
import re
from collections.abc import Iterable

import keras
import numpy as np

from barlowtf.models.layer_names import given_name


def weights_sha256(model: keras.Model) -> str:
    """Returns the sha256 over name, shape and values of all weights and running statistics, 64 hexadecimal digits."""
    # Without the model's own name in front, which says nothing about its function.
    paths = [weight.path.split("/")[-2:] for weight in model.weights]
    layers = counted_names(path[0] for path in paths)
    digest = hashlib.sha256()
    for weight, path in zip(model.weights, paths, strict=True):
        value = np.ascontiguousarray(weight.numpy())
        name = "/".join([layers[path[0]], *map(without_number, path[1:])])
        digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def architecture_sha256(model: keras.Model) -> str:
    """Returns the sha256 over kind, name, stride, padding, shapes and precision of all layers."""
    names = counted_names(layer.name for layer in model.layers)
    digest = hashlib.sha256()
    for layer in model.layers:
        settings = [getattr(layer, name, None) for name in ("strides", "padding", "pool_size")]
        shapes = [tuple(weight.shape) for weight in layer.weights]
        name = names[layer.name]
        digest.update(f"{type(layer).__name__} {name} {settings} {shapes} {layer.dtype_policy.name}\n".encode())
    return digest.hexdigest()


def counted_names(names: Iterable[str]) -> dict[str, str]:
    """Returns for each layer's name itself, and for those that Keras gives the layer's kind and a number from 0."""
    counted: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for name in names:
        base = re.sub(r"_\d+$", "", name)
        if name in counted or base not in _given_names():
            counted.setdefault(name, name)
            continue
        counted[name] = f"{base}#{numbers.get(base, 0)}"
        numbers[base] = numbers.get(base, 0) + 1
    return counted


def without_number(name: str) -> str:
    """Returns the name of a weight, "variable" for those that Keras names by a count of all variables."""
    return re.sub(r"^variable_\d+$", "variable", name)


@functools.cache
def _given_names() -> frozenset[str]:
    """Returns the names that Keras gives to layers without one, before their numbers: "conv2d", "dense", ..."""
    kinds = [name for name in dir(keras.layers) if name[0].isupper()]
    # Names that barlowtf gives its own layers are left as they are.
    return frozenset(map(given_name, kinds)) - {"normalization"}
