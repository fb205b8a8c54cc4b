"""The projector that tensors belong to: its widths, and whether it has biases and normalizations."""

import re
from collections import Counter
from collections.abc import Mapping

import keras

from barlowtf.convert.encoder_tensors import Tensor
from barlowtf.models import make_projector

_VECTORS = ("weight", "bias", "running_mean", "running_var")


def projector_of(tensors: Mapping[str, Tensor], input_dim: int) -> keras.Model | None:
    """Returns a new projector of the architecture that tensors show, or None where they show no layer.

    Linear layers are every third one where there are normalizations, else every second one. Each width is the one that
    most of the tensors that have it show. A width that nothing shows is given as 1: all tensors that have it are
    missing.

    Args:
        tensors: By the authors' names, "projector.0.weight".
        input_dim: Width of the features.
    """
    indices = [int(match[1]) for name in tensors if (match := re.match(r"projector\.(\d{1,6})\.", name))]
    if not indices:
        return None
    normalization = len(indices) == 1 or any(
        index % 2 or _sizes(tensors, index, "weight", 1) or _sizes(tensors, index, "running_var", 1)
        for index in indices
    )
    step = 3 if normalization else 2
    # A normalization without a linear layer behind it lacks that one. More layers than tensors there cannot be.
    count = min((max(indices) + step - 1) // step + 1, len(tensors))
    linear = range(0, step * count, step)
    bias = 2 * sum(f"projector.{index}.bias" in tensors for index in linear) > count
    widths = [_width(tensors, index, step) for index in linear]
    return make_projector(input_dim, widths, bias=bias, normalization=normalization, dtype="float32")


def _width(tensors: Mapping[str, Tensor], index: int, step: int) -> int:
    """Returns the width of the linear layer at an index, of its bias and of what follows it."""
    shown = [*_sizes(tensors, index, "weight", 2)[:1], *_sizes(tensors, index, "bias", 1)]
    if step == 3:
        shown += [size for part in _VECTORS for size in _sizes(tensors, index + 1, part, 1)]
    shown += _sizes(tensors, index + step, "weight", 2)[1:]
    return max(1, Counter(shown).most_common(1)[0][0]) if shown else 1


def _sizes(tensors: Mapping[str, Tensor], index: int, part: str, dimensions: int) -> tuple[int, ...]:
    tensor = tensors.get(f"projector.{index}.{part}")
    return tensor.value.shape if tensor is not None and tensor.value.ndim == dimensions else ()
