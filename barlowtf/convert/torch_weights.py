"""From PyTorch's tensors to the weights of an encoder and its projector: all of them, or none."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from barlowtf.convert.encoder_tensors import EncoderTensors, Tensor, find_encoder
from barlowtf.convert.projector_tensors import projector_of
from barlowtf.convert.resnet_names import TorchWeight, from_torch_layout, named_weights
from barlowtf.errors import ConversionError
from barlowtf.models import make_encoder
from barlowtf.models.resnet import RESNETS, bottleneck_block, resnet_name
from barlowtf.models.stems import stem_of

_LOG = logging.getLogger("barlowtf")
# What stands in place of conv1 where the stem has several convolutions: timm's resnet50d, MMSelfSup's deep_stem.
_DEEP_STEM = ("conv1.0.", "stem.")
# Whether the blocks are bottlenecks, and how many of them each stage has -> depth.
_DEPTHS: dict[tuple[bool, tuple[int, ...]], int] = {
    (block is bottleneck_block, counts): depth for depth, (block, counts) in RESNETS.items()
}
_IMAGENET_KERNEL, _SMALL_KERNEL = 7, 3
_VARIANCE = ".running_var"
# Of each kind of fault; a file may hold a million.
_NAMES_SHOWN = 100
# Of the first stage, unless the encoder is wider than is usual.
_USUAL_FILTERS = 64


class TorchModels(NamedTuple):
    """The models of a file, float32.

    Attributes:
        encoder: See `barlowtf.models.make_encoder`.
        projector: See `barlowtf.models.make_projector`, or None.
        passed_over: Names of the tensors that were passed over, as they are in the file.
        layout: Project whose layout the file has, see `barlowtf.convert.layouts`, or None.
        prefix: What stood before the encoder's names: "state_dict.module.encoder_q.".
    """

    encoder: keras.Model
    projector: keras.Model | None
    passed_over: tuple[str, ...]
    layout: str | None
    prefix: str


class LoadedWeights(NamedTuple):
    """What was read.

    Attributes:
        taken: Names of the tensors that the encoder took, as they are in the file.
        passed_over: Names of those that were passed over.
        layout: As of `TorchModels`.
        prefix: As of `TorchModels`.
    """

    taken: tuple[str, ...]
    passed_over: tuple[str, ...]
    layout: str | None
    prefix: str


def load_torch_weights(
    encoder: keras.Model,
    path_or_state_dict: str | Path | Mapping[str, Any],
    *,
    names: Mapping[str, str] | None = None,
    prefix: str | None = None,
) -> LoadedWeights:
    """Loads torchvision-named weights into an encoder; checks everything before it assigns anything.

    Names may stand behind a prefix, "module.", "_orig_mod.", "backbone.", "encoder_q." or any other, and be those of
    another project's layout, see `barlowtf.convert.layouts`. Classifier, projector, batch counters and what lies beside
    the encoder are passed over.

    Args:
        encoder: See `barlowtf.models.make_encoder`; architecture, width, stem and channels must be those of the file.
        path_or_state_dict: The authors' resnet50.pth or checkpoint.pth, any such file, a `.safetensors` file, or
            {name: array or tensor}.
        names: Layer -> PyTorch module, see `barlowtf.models.EncoderKind`; None: those of ResNets.
        prefix: As of `make_models_of`.

    Returns:
        LoadedWeights.

    Raises:
        ConversionError: The file cannot be read; or tensors are missing, unknown, of other shapes, or not finite, all
            of which are named. The encoder is then as it was.

    Source: torchvision resnet.py for the names; facebookresearch/barlowtwins main.py for the two files.
    """
    parts = find_encoder(path_or_state_dict, prefix=prefix)
    wanted = named_weights(encoder, names)
    _require_fit(
        wanted,
        parts.encoder,
        f"{_name(path_or_state_dict)} does not fit the encoder {encoder.name}; nothing was loaded.",
        "Make the encoder with the architecture, width, stem and channels of the file.",
    )
    _assign(wanted, parts.encoder)
    _compare_stems(_name(path_or_state_dict), parts, encoder)
    projector = tuple(tensor.name for tensor in parts.projector.values())
    taken = tuple(parts.encoder[key].name for key in wanted)
    return LoadedWeights(taken, parts.passed_over + projector, parts.layout, parts.prefix)


def make_encoder_of(
    path_or_state_dict: str | Path | Mapping[str, Any], *, stem: str | None = None, prefix: str | None = None
) -> keras.Model:
    """Returns a new encoder with the architecture and the weights of a file.

    Args:
        path_or_state_dict: As of `load_torch_weights`.
        stem: As of `make_models_of`.
        prefix: As of `make_models_of`.

    Returns:
        See `barlowtf.models.make_encoder`; float32, images of any height and width.

    Raises:
        ConversionError: As `load_torch_weights`, or the tensors are not those of a ResNet that barlowtf knows.
    """
    parts = find_encoder(path_or_state_dict, prefix=prefix)
    return _make_models(_name(path_or_state_dict), parts._replace(projector={}), stem).encoder


def make_models_of(
    path_or_state_dict: str | Path | Mapping[str, Any], *, stem: str | None = None, prefix: str | None = None
) -> TorchModels:
    """Returns a new encoder and, where there is one, its projector, with the architecture and the weights of a file.

    Args:
        path_or_state_dict: As of `load_torch_weights`.
        stem: See `barlowtf.models.make_encoder`: "imagenet", "small", "small_padded" or "half". None: imagenet where
            the kernel of the first convolution is 7×7; where it is 3×3 small_padded for solo-learn, else small.
        prefix: What stands before the encoder's names, with or without the keys that lead to the state dict:
            "module.encoder_k.", "student.module.backbone.". Nothing else is taken then. None: the encoder that was
            trained is looked for, see `barlowtf.convert.encoder_tensors.find_encoder`.

    Returns:
        TorchModels; see `barlowtf.models.make_encoder`, images of any height and width, and `make_projector`.

    Raises:
        ConversionError: As `make_encoder_of`; the projector's tensors are named beside the encoder's.
    """
    return _make_models(_name(path_or_state_dict), find_encoder(path_or_state_dict, prefix=prefix), stem)


def _name(source: str | Path | Mapping[str, Any]) -> str:
    return "The state dict" if isinstance(source, Mapping) else str(source)


def _make_models(name: str, parts: EncoderTensors, stem: str | None) -> TorchModels:
    encoder = _make_encoder(name, parts, stem)
    wanted, projector = named_weights(encoder), None
    if parts.projector:
        projector = projector_of(parts.projector, encoder.output_shape[-1])
        if projector is not None:
            wanted |= named_weights(projector)
    tensors = parts.encoder | parts.projector
    _require_fit(wanted, tensors, f"{name} holds no whole {encoder.name}; nothing was loaded.")
    _assign(wanted, tensors)
    _compare_stems(name, parts, encoder)
    return TorchModels(encoder, projector, parts.passed_over, parts.layout, parts.prefix)


def _compare_stems(name: str, parts: EncoderTensors, encoder: keras.Model) -> None:
    """Warns where an encoder has another stem than the project that wrote the file gives its own."""
    first = parts.encoder.get("conv1.weight")
    if parts.small_stem == "small" or first is None or first.value.shape[2:] != (_SMALL_KERNEL, _SMALL_KERNEL):
        return
    try:
        stem = stem_of(encoder)
    except ValueError:  # It is not one of barlowtf's ResNets: whoever made it knows its first layers.
        return
    if stem != parts.small_stem:
        _LOG.warning(
            '%s: the encoder has the stem "%s", and %s trains with "%s", so features differ.',
            *(name, stem, parts.layout or "its project", parts.small_stem),
        )


def _make_encoder(name: str, parts: EncoderTensors, stem: str | None) -> keras.Model:
    tensors = parts.encoder
    counts = tuple(_count_blocks(tensors, stage) for stage in (1, 2, 3, 4))
    depth = _DEPTHS.get((any(".conv3." in key for key in tensors), counts))
    shape, first = _first_shape(tensors), tensors.get("conv1.weight")
    if first is None and (of_stem := [tensor.name for key, tensor in tensors.items() if key.startswith(_DEEP_STEM)]):
        raise ConversionError(
            f"{name} holds a ResNet whose stem has several convolutions, which barlowtf does not have: {of_stem[0]}. "
            "Expected conv1.weight, one convolution of 7x7 or 3x3. Take a model without a deep stem, in timm resnet50 "
            "and not resnet50d."
        )
    if depth is None or shape[2] not in (_IMAGENET_KERNEL, _SMALL_KERNEL):
        depths = ", ".join(map(str, sorted(_DEPTHS.values())))
        raise ConversionError(
            f"{name} is no ResNet that barlowtf knows. Received {counts} blocks in layer1 to layer4 and conv1.weight "
            f"{'absent' if first is None else first.value.shape}. Expected torchvision's names of a ResNet of depth "
            f"{depths}. The first names: {parts.first_names}."
        )
    filters, channels, kernel, _ = shape
    _require_size(name, parts, filters)
    if stem is None:
        stem = "imagenet" if kernel == _IMAGENET_KERNEL else parts.small_stem
        if stem == "small":
            _LOG.info('%s: conv1 is 3x3, taken for the stem "small" (stride 1); "half" has stride 2.', name)
    try:
        return make_encoder(resnet_name(depth, filters), image_shape=(None, None, channels), stem=stem, dtype="float32")
    except ValueError as error:
        raise ConversionError(f"{name} is no ResNet that barlowtf knows. {error}") from error


def _require_size(name: str, parts: EncoderTensors, filters: int) -> None:
    """Raises ConversionError where the encoder would take far more memory than the file, whose first tensors lie."""
    largest = max(tensor.value.size for tensor in parts.encoder.values())
    # layer4.0.conv2.weight of every ResNet.
    expected = (8 * filters) ** 2 * 9
    if filters > _USUAL_FILTERS and largest < expected:
        raise ConversionError(
            f"{name} holds no whole ResNet; nothing was loaded. Received {filters} channels in conv1 or bn1 and at "
            f"most {largest:,} values in a tensor, expected {expected:,} in layer4.0.conv2.weight."
        )


def _first_shape(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Returns the shape of conv1.weight; where it is missing or has none, what fits the tensors behind it."""
    first = tensors.get("conv1.weight")
    if first is not None and first.value.ndim == 4 and 0 not in first.value.shape:
        return first.value.shape
    behind = (tensors.get(f"bn1.{part}") for part in ("weight", "bias", "running_mean", "running_var"))
    filters = [tensor.value.size for tensor in behind if tensor is not None]
    return (filters[0] or 64 if filters else 64, 3, 7, 7)


def _count_blocks(tensors: Mapping[str, Tensor], stage: int) -> int:
    prefix = f"layer{stage}."
    return len({name.split(".")[1] for name in tensors if name.startswith(prefix)})


def _require_fit(
    wanted: Mapping[str, TorchWeight], tensors: Mapping[str, Tensor], misfit: str, advice: str = ""
) -> None:
    """Raises ConversionError where tensors are missing, unknown, of other shapes or not finite."""
    faults = _faults({key: weight.shape for key, weight in wanted.items()}, tensors)
    if faults:
        raise ConversionError(" ".join(filter(None, (misfit, *faults, advice))))


def _faults(wanted: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor]) -> list[str]:
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
    # Their roots are not numbers.
    negative = [tensor.name for key, tensor in common.items() if key.endswith(_VARIANCE) and _has_negative(tensor)]
    kinds = {"missing": missing, "unknown": extra, "of another shape": misshapen, "not finite": unusable}
    kinds["of negative variances"] = negative
    return [f"{len(names)} tensors {kind}: {_listed(names)}." for kind, names in kinds.items() if names]


def _has_negative(tensor: Tensor) -> bool:
    return tensor.value.dtype.kind in "fi" and bool(np.any(tensor.value < 0))


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _assign(wanted: Mapping[str, TorchWeight], tensors: Mapping[str, Tensor]) -> None:
    for key, weight in wanted.items():
        weight.variable.assign(from_torch_layout(_float32(tensors[key].value)))


def _float32(value: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # It becomes infinite, which is looked for.
        return value.astype(np.float32, copy=False)
