"""From the weights of one model to those of another: what fits, what does not, and other numbers of channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np

from barlowtf.models.fingerprint import counted_names, without_number


@dataclass(frozen=True)
class InitialWeights:
    """Values of all weights and running statistics that a run starts from, in the order of layers.

    Attributes:
        encoder: Of the encoder.
        projector: Of the projector; None: it starts from random weights.
    """

    encoder: tuple[np.ndarray, ...]
    projector: tuple[np.ndarray, ...] | None

    def assign(self, encoder: keras.Model, projector: keras.Model) -> None:
        """Sets the weights of two models of these shapes."""
        _assign(encoder, self.encoder)
        if self.projector is not None:
            _assign(projector, self.projector)


class Fit(NamedTuple):
    """What `fit_weights` found.

    Attributes:
        values: One for each of the target's weights, in the order of layers; empty where there are misfits.
        adapted: What was changed to fit, one line each.
        misfits: What does not fit, one line for each kind, which names all weights of that kind.
    """

    values: tuple[np.ndarray, ...]
    adapted: tuple[str, ...]
    misfits: tuple[str, ...]


def fit_weights(source: keras.Model, target: keras.Model) -> Fit:
    """Finds the values of one model's weights in another one, by the names of layers and weights.

    Names that Keras gives by itself are counted from a model's own first layer. Of the first convolution the number of
    input channels may differ, where it is that of the images of both: see `adapt_channels`.

    Args:
        source: The model that has the values.
        target: The model that is to have them; it stays as it is.

    Returns:
        Fit.
    """
    given, wanted = _named_weights(source), _named_weights(target)
    values, adapted, misshapen = [], [], []
    first = _first_kernel(given, source)
    for name in (name for name in wanted if name in given):
        value, shape = np.asarray(given[name]), tuple(wanted[name].shape)
        if name == first == _first_kernel(wanted, target) and _differ_in_channels(value.shape, shape):
            value, method = adapt_channels(value, shape[2])
            adapted.append(f"{name}: {given[name].shape[2]} -> {shape[2]} channels by {method}")
        if value.shape != shape:
            misshapen.append(f"{name} {list(value.shape)} (expected {list(shape)})")
        values.append(value)
    missing = [f"{name} {list(wanted[name].shape)}" for name in wanted if name not in given]
    unknown = [f"{name} {list(given[name].shape)}" for name in given if name not in wanted]
    kinds = (("of another shape", misshapen), ("missing", missing), ("unknown", unknown))
    misfits = tuple(f"{len(names)} weights {kind}: {', '.join(names)}" for kind, names in kinds if names)
    return Fit(() if misfits else tuple(values), tuple(adapted), misfits)


def adapt_channels(kernel: np.ndarray, channels: int) -> tuple[np.ndarray, str]:
    """Returns the kernel of a first convolution for another number of input channels, and how: "mean" or "repeat".

    Letters: W [k, k, C, K] the kernel, c its channels, C' the new number, S = Σ_c W_c. Where all channels of an image
    are equal, the response is S times one of them, and it stays: the new channels have the sum S, too.

    1. C' < C, "mean": each new channel is S / C', C / C' times the mean.
    2. C' > C, "repeat": new channel c is C / C' · W_(c mod C). Where C' is not a multiple of C, some channels are
       repeated once more than others, and each new channel takes an equal part of what the sum then lacks.

    Args:
        kernel: W, float [k, k, C, K].
        channels: C', >= 1.

    Returns:
        float [k, k, C', K], dtype of `kernel`, and the method.
    """
    before = kernel.shape[2]
    total = kernel.sum(axis=2, keepdims=True, dtype=np.float64)
    if channels < before:
        return np.repeat(total / channels, channels, axis=2).astype(kernel.dtype), "mean"
    repeated = kernel[:, :, np.arange(channels) % before].astype(np.float64) * (before / channels)
    lacking = total - repeated.sum(axis=2, keepdims=True)
    return (repeated + lacking / channels).astype(kernel.dtype), "repeat"


def differing_steps(source: keras.Model, target: keras.Model) -> list[str]:
    """Returns one line for each layer that both models have and that moves over the image in another way.

    That are other steps, or other zeros around the image, which the weights do not show.
    """
    lines = []
    for word, property_of in (("stride", _strides), ("zeros on every side", _zeros)):
        before, now = property_of(source), property_of(target)
        lines += [
            f"{name}: {word} {value} -> {now[name]}"
            for name, value in before.items()
            if name in now and value != now[name]
        ]
    return lines


def _strides(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {layer.name: layer.strides for layer in model.layers if getattr(layer, "strides", None) is not None}


def _zeros(model: keras.Model) -> dict[str, int]:
    """Returns the zeros on every side of the input of each convolution that has one, by its name."""
    borders = {
        layer.name.removesuffix("_pad"): layer.padding[0][0]
        for layer in model.layers
        if isinstance(layer, keras.layers.ZeroPadding2D)
    }
    convolutions = (layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    return {
        layer.name: borders.get(layer.name, (layer.kernel_size[0] - 1) // 2 if layer.padding == "same" else 0)
        for layer in convolutions
    }


def _named_weights(model: keras.Model) -> dict[str, keras.Variable]:
    """Returns the weights of a model, in the order of layers, by layer and name within the layer."""
    layers = counted_names(layer.name for layer in model.layers)
    named: dict[str, keras.Variable] = {}
    for layer in model.layers:
        for weight in layer.weights:
            path = weight.path.split("/")
            inner = path[path.index(layer.name) + 1 :] if layer.name in path else path[-1:]
            name = "/".join([layers[layer.name], *map(without_number, inner)])
            while name in named:
                name += "'"
            named[name] = weight
    return named


def _first_kernel(weights: dict[str, keras.Variable], model: keras.Model) -> str | None:
    """Returns the name of the first convolution's kernel, [k, k, C, K] with C the channels of the images."""
    channels = model.input_shape[-1]
    return next((name for name, w in weights.items() if len(w.shape) == 4 and w.shape[2] == channels), None)


def _differ_in_channels(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    same = len(given) == len(wanted) == 4 and (*given[:2], given[3]) == (*wanted[:2], wanted[3])
    return same and given[2] != wanted[2]


def _assign(model: keras.Model, values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(_named_weights(model).values(), values, strict=True):
        variable.assign(value)
