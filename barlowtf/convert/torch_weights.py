"""From PyTorch's tensors to the weights of an encoder and its projector: all of them, or none."""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from barlowtf.convert.prefixes import common_prefix, encoder_prefix
from barlowtf.convert.resnet_names import TorchWeight, from_torch_layout, named_weights
from barlowtf.convert.torch_files import read_tensors
from barlowtf.errors import ConversionError
from barlowtf.models import make_encoder, make_projector
from barlowtf.models.resnet import RESNETS, bottleneck_block, resnet_name

_LOG = logging.getLogger("barlowtf")
# The authors' whole model: encoder and projector.
_BACKBONE, _PROJECTOR = "backbone.", "projector."
_CLASSIFIER = "fc."
_NAMES_SHOWN = 5
# PyTorch counts batches, and with a fixed momentum nobody reads the count.
_COUNTER = "num_batches_tracked"
# Whether the blocks are bottlenecks, and how many of them each stage has -> depth.
_DEPTHS: dict[tuple[bool, tuple[int, ...]], int] = {
    (block is bottleneck_block, counts): depth for depth, (block, counts) in RESNETS.items()
}
_STEM_OF_KERNEL = {7: "imagenet", 3: "small"}


class TorchModels(NamedTuple):
    """The models of a file, float32, and the names of the tensors that were passed over, as they are in the file."""

    encoder: keras.Model
    projector: keras.Model | None
    passed_over: tuple[str, ...]


class LoadedWeights(NamedTuple):
    """What was read: names of the tensors that the encoder took, and of those passed over, as they are in the file."""

    taken: tuple[str, ...]
    passed_over: tuple[str, ...]


def load_torch_weights(
    encoder: keras.Model,
    path_or_state_dict: str | Path | Mapping[str, Any],
    *,
    names: Mapping[str, str] | None = None,
) -> LoadedWeights:
    """Loads torchvision-named weights into an encoder; checks everything before it assigns anything.

    Names may stand behind a prefix, "module.", "_orig_mod.", "backbone.", "encoder_q." or any other, see
    `barlowtf.convert.prefixes`. Classifier, projector, batch counters and what lies beside the encoder are passed over.

    Args:
        encoder: See `barlowtf.models.make_encoder`; architecture, width, stem and channels must be those of the file.
        path_or_state_dict: The authors' resnet50.pth or checkpoint.pth, any such file, a `.safetensors` file, or
            {name: array or tensor}.
        names: Layer -> PyTorch module, see `barlowtf.models.EncoderKind`; None: those of ResNets.

    Returns:
        LoadedWeights.

    Raises:
        ConversionError: The file cannot be read; or tensors are missing, unknown, of other shapes, or not finite, all
            of which are named. The encoder is then as it was.

    Source: torchvision resnet.py for the names; facebookresearch/barlowtwins main.py for the two files.
    """
    parts = _sort(read_tensors(path_or_state_dict))
    wanted = named_weights(encoder, names)
    _require_fit(
        wanted,
        parts.encoder,
        f"{_name(path_or_state_dict)} does not fit the encoder {encoder.name}; nothing was loaded.",
        "Make the encoder with the architecture, width, stem and channels of the file.",
    )
    _assign(wanted, parts.encoder)
    projector = tuple(tensor.name for tensor in parts.projector.values())
    return LoadedWeights(tuple(parts.encoder[key].name for key in wanted), parts.passed_over + projector)


def make_encoder_of(path_or_state_dict: str | Path | Mapping[str, Any], *, stem: str | None = None) -> keras.Model:
    """Returns a new encoder with the architecture and the weights of a file.

    Args:
        path_or_state_dict: As of `load_torch_weights`.
        stem: As of `make_models_of`.

    Returns:
        See `barlowtf.models.make_encoder`; float32, images of any height and width.

    Raises:
        ConversionError: As `load_torch_weights`, or the tensors are not those of a ResNet that barlowtf knows.
    """
    parts = _sort(read_tensors(path_or_state_dict))
    return _make_models(_name(path_or_state_dict), parts._replace(projector={}), stem).encoder


def make_models_of(path_or_state_dict: str | Path | Mapping[str, Any], *, stem: str | None = None) -> TorchModels:
    """Returns a new encoder and, where there is one, its projector, with the architecture and the weights of a file.

    Args:
        path_or_state_dict: As of `load_torch_weights`.
        stem: See `barlowtf.models.make_encoder`: "imagenet", "small" or "half". None: imagenet where the kernel of
            the first convolution is 7×7, small where it is 3×3, which half has too.

    Returns:
        TorchModels; see `barlowtf.models.make_encoder`, images of any height and width, and `make_projector`.

    Raises:
        ConversionError: As `make_encoder_of`; the projector's tensors are named beside the encoder's.
    """
    return _make_models(_name(path_or_state_dict), _sort(read_tensors(path_or_state_dict)), stem)


class _Tensor(NamedTuple):
    name: str  # in the file
    value: np.ndarray


class _Parts(NamedTuple):
    """The tensors of a file by their names without prefix, "layer1.0.conv1.weight", "projector.0.weight"."""

    encoder: dict[str, _Tensor]
    projector: dict[str, _Tensor]
    passed_over: tuple[str, ...]  # names in the file


def _name(source: str | Path | Mapping[str, Any]) -> str:
    return "The state dict" if isinstance(source, Mapping) else str(source)


def _sort(state: Mapping[str, np.ndarray]) -> _Parts:
    wrapped = common_prefix(state)
    bare = {name.removeprefix(wrapped): _Tensor(name, value) for name, value in state.items()}
    prefix = encoder_prefix(bare)
    # A tensor of a ResNet beside the backbone is a fault, and is not taken for the encoder's own.
    whole = any(name.startswith(_BACKBONE) for name in bare) and prefix in ("", _BACKBONE)
    prefix = _BACKBONE if whole else prefix or ""
    encoder, projector, passed_over = {}, {}, []
    for name, tensor in bare.items():
        inner = name.removeprefix(prefix)
        if inner.startswith(_CLASSIFIER) or name.endswith(_COUNTER):
            passed_over.append(tensor.name)
        elif name.startswith(prefix):
            encoder[inner] = tensor
        elif whole and name.startswith(_PROJECTOR):
            projector[name] = tensor
        elif encoder_prefix([name]) == "":
            encoder[f"beside the backbone: {name}"] = tensor
        else:
            passed_over.append(tensor.name)
    return _Parts(encoder, projector, tuple(passed_over))


def _make_models(name: str, parts: _Parts, stem: str | None) -> TorchModels:
    encoder = _make_encoder(name, parts.encoder, stem)
    wanted, projector = named_weights(encoder), None
    if parts.projector:
        widths = _projector_widths(parts.projector)
        if widths:
            projector = make_projector(encoder.output_shape[-1], widths, dtype="float32")
            wanted |= named_weights(projector)
    tensors = parts.encoder | parts.projector
    _require_fit(wanted, tensors, f"{name} holds no whole {encoder.name}; nothing was loaded.")
    _assign(wanted, tensors)
    return TorchModels(encoder, projector, parts.passed_over)


def _make_encoder(name: str, tensors: Mapping[str, _Tensor], stem: str | None) -> keras.Model:
    counts = tuple(_count_blocks(tensors, stage) for stage in (1, 2, 3, 4))
    depth = _DEPTHS.get((any(".conv3." in key for key in tensors), counts))
    shape = _first_shape(tensors)
    if depth is None or shape[2] not in _STEM_OF_KERNEL:
        first = tensors.get("conv1.weight")
        depths = ", ".join(map(str, sorted(_DEPTHS.values())))
        raise ConversionError(
            f"{name} is no ResNet that barlowtf knows. Received {counts} blocks in layer1 to layer4 and conv1.weight "
            f"{'absent' if first is None else first.value.shape}. Expected torchvision's names of a ResNet of depth "
            f"{depths}. The first names: {_first_names(tensors)}."
        )
    filters, channels, kernel, _ = shape
    if stem is None:
        stem = _STEM_OF_KERNEL[kernel]
        if stem == "small":
            _LOG.info('%s: conv1 is 3x3, taken for the stem "small" (stride 1); "half" has stride 2.', name)
    return make_encoder(resnet_name(depth, filters), image_shape=(None, None, channels), stem=stem, dtype="float32")


def _first_names(tensors: Mapping[str, _Tensor]) -> str:
    return ", ".join(tensor.name for tensor in list(tensors.values())[:_NAMES_SHOWN]) or "none"


def _first_shape(tensors: Mapping[str, _Tensor]) -> tuple[int, ...]:
    """Returns the shape of conv1.weight; where it is missing or has none, what fits the tensors behind it."""
    first = tensors.get("conv1.weight")
    if first is not None and first.value.ndim == 4 and 0 not in first.value.shape:
        return first.value.shape
    behind = (tensors.get(f"bn1.{part}") for part in ("weight", "bias", "running_mean", "running_var"))
    filters = [tensor.value.size for tensor in behind if tensor is not None]
    return (filters[0] or 64 if filters else 64, 3, 7, 7)


def _count_blocks(tensors: Mapping[str, _Tensor], stage: int) -> int:
    prefix = f"layer{stage}."
    return len({name.split(".")[1] for name in tensors if name.startswith(prefix)})


def _projector_widths(tensors: Mapping[str, _Tensor]) -> list[int]:
    """Returns the widths of the linear layers, each as most of the tensors that have it show it.

    Layer 3i is linear and 3i + 1 its normalization, which the last one has not. A width that nothing shows is given as
    1: all tensors that have it are missing.
    """
    indices = [int(match[1]) for name in tensors if (match := re.match(r"projector\.(\d{1,6})\.", name))]
    # A normalization without a linear layer behind it lacks that one. More layers than tensors there cannot be.
    count = min((max(indices) + 2) // 3 + 1, len(tensors)) if indices else 0

    def sizes(layer: int, part: str, dimensions: int) -> tuple[int, ...]:
        tensor = tensors.get(f"projector.{layer}.{part}")
        return tensor.value.shape if tensor is not None and tensor.value.ndim == dimensions else ()

    widths = []
    for first in range(0, 3 * count, 3):
        parts = ("weight", "bias", "running_mean", "running_var")
        shown = [*sizes(first, "weight", 2)[:1], *(size for part in parts for size in sizes(first + 1, part, 1))]
        shown += sizes(first + 3, "weight", 2)[1:]
        widths.append(max(1, Counter(shown).most_common(1)[0][0]) if shown else 1)
    return widths


def _require_fit(
    wanted: Mapping[str, TorchWeight], tensors: Mapping[str, _Tensor], misfit: str, advice: str = ""
) -> None:
    """Raises ConversionError where tensors are missing, unknown, of other shapes or not finite."""
    faults = _faults({key: weight.shape for key, weight in wanted.items()}, tensors)
    if faults:
        raise ConversionError(" ".join(filter(None, (misfit, *faults, advice))))


def _faults(wanted: Mapping[str, tuple[int, ...]], tensors: Mapping[str, _Tensor]) -> list[str]:
    """Returns a sentence for each kind of misfit, which names all tensors of that kind."""
    missing = [name for name in wanted if name not in tensors]
    extra = [tensor.name for name, tensor in tensors.items() if name not in wanted]
    common = {name: tensor for name, tensor in tensors.items() if name in wanted}
    misshapen = [
        f"{tensor.name} {list(tensor.value.shape)} (expected {list(wanted[name])})"
        for name, tensor in common.items()
        if tensor.value.shape != wanted[name]
    ]
    unusable = [
        tensor.name
        for tensor in common.values()
        if tensor.value.dtype.kind not in "fiu" or not np.all(np.isfinite(_float32(tensor.value)))
    ]
    kinds = (("missing", missing), ("unknown", extra), ("of another shape", misshapen), ("not finite", unusable))
    return [f"{len(names)} tensors {kind}: {', '.join(names)}." for kind, names in kinds if names]


def _assign(wanted: Mapping[str, TorchWeight], tensors: Mapping[str, _Tensor]) -> None:
    for key, weight in wanted.items():
        weight.variable.assign(from_torch_layout(_float32(tensors[key].value)))


def _float32(value: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # It becomes infinite, which is looked for.
        return value.astype(np.float32, copy=False)
