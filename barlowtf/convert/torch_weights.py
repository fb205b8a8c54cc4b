"""From torchvision-named tensors to an encoder's weights: all of them, or none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from barlowtf.convert.resnet_names import from_torch_layout, named_weights
from barlowtf.convert.torch_files import read_tensors
from barlowtf.errors import ConversionError
from barlowtf.models import make_encoder
from barlowtf.models.resnet import RESNETS, bottleneck_block

_PARALLEL, _BACKBONE = "module.", "backbone."
# What an encoder leaves aside: the classifier, and of the authors' whole model the projector and its normalization.
_CLASSIFIER = ("fc.",)
_BESIDE_BACKBONE = ("projector.", "bn.")
# PyTorch counts batches, and with a fixed momentum nobody reads the count.
_COUNTER = "num_batches_tracked"
# Whether the blocks are bottlenecks, and how many of them each stage has -> depth.
_DEPTHS = {(block is bottleneck_block, counts): depth for depth, (block, counts) in RESNETS.items()}
_STEM_OF_KERNEL = {7: "imagenet", 3: "small"}


class LoadedWeights(NamedTuple):
    """What was read: names of the tensors that the encoder took, and of those passed over, as they are in the file."""

    taken: tuple[str, ...]
    passed_over: tuple[str, ...]


def load_torch_weights(encoder: keras.Model, path_or_state_dict: str | Path | Mapping[str, Any]) -> LoadedWeights:
    """Loads torchvision-named weights into an encoder; checks everything before it assigns anything.

    Names may begin with "module.", as a data-parallel model saves them, and with "backbone.", as the authors' whole
    model does. Classifier, projector and batch counters are passed over.

    Args:
        encoder: See `barlowtf.models.make_encoder`; architecture, width, stem and channels must be those of the file.
        path_or_state_dict: The authors' resnet50.pth or checkpoint.pth, any such file, a `.safetensors` file, or
            {name: array or tensor}.

    Returns:
        LoadedWeights.

    Raises:
        ConversionError: The file cannot be read; or tensors are missing, unknown, of other shapes, or not finite, all
            of which are named. The encoder is then as it was.

    Source: torchvision resnet.py for the names; facebookresearch/barlowtwins main.py for the two files.
    """
    return _load(encoder, _name(path_or_state_dict), read_tensors(path_or_state_dict))


def make_encoder_of(path_or_state_dict: str | Path | Mapping[str, Any]) -> keras.Model:
    """Returns a new encoder with the architecture and the weights of a file.

    Args:
        path_or_state_dict: As of `load_torch_weights`.

    Returns:
        See `barlowtf.models.make_encoder`; float32, images of any height and width.

    Raises:
        ConversionError: As `load_torch_weights`, or the tensors are not those of a ResNet that barlowtf knows.
    """
    state = read_tensors(path_or_state_dict)
    tensors, _ = _encoder_tensors(state)
    first = tensors.get("conv1.weight")
    counts = tuple(_count_blocks(tensors, stage) for stage in (1, 2, 3, 4))
    depth = _DEPTHS.get(("layer1.0.conv3.weight" in tensors, counts))
    if first is None or first.value.ndim != 4 or depth is None or first.value.shape[2] not in _STEM_OF_KERNEL:
        depths = ", ".join(map(str, sorted(_DEPTHS.values())))
        raise ConversionError(
            f"{_name(path_or_state_dict)} is no ResNet that barlowtf knows. Received {counts} blocks in layer1 to "
            f"layer4 and conv1.weight {'absent' if first is None else first.value.shape}. Expected torchvision's names "
            f"of a ResNet of depth {depths}."
        )
    filters, channels, kernel, _ = first.value.shape
    width = "" if filters == 64 else f"_w{filters / 64!r}".removesuffix(".0").replace(".", "p")
    encoder = make_encoder(
        f"resnet{depth}{width}",
        image_shape=(None, None, channels),
        stem=_STEM_OF_KERNEL[kernel],
        dtype="float32",
    )
    _load(encoder, _name(path_or_state_dict), state)
    return encoder


def _name(source: str | Path | Mapping[str, Any]) -> str:
    return "The given dict" if isinstance(source, Mapping) else str(source)


def _load(encoder: keras.Model, name: str, state: Mapping[str, np.ndarray]) -> LoadedWeights:
    tensors, passed_over = _encoder_tensors(state)
    wanted = named_weights(encoder)
    faults = _faults({key: weight.shape for key, weight in wanted.items()}, tensors)
    if faults:
        raise ConversionError(
            f"{name} does not fit the encoder {encoder.name}; nothing was loaded. {' '.join(faults)} "
            "Make the encoder with the architecture, width, stem and channels of the file."
        )
    for key, weight in wanted.items():
        weight.variable.assign(from_torch_layout(tensors[key].value.astype(np.float32)))
    return LoadedWeights(tuple(tensors[key].name for key in wanted), passed_over)


class _Tensor(NamedTuple):
    name: str  # in the file
    value: np.ndarray


def _encoder_tensors(state: Mapping[str, np.ndarray]) -> tuple[dict[str, _Tensor], tuple[str, ...]]:
    """Returns the tensors that an encoder may take, by torchvision's names, and the names of those passed over."""
    bare = {name.removeprefix(_PARALLEL): _Tensor(name, value) for name, value in state.items()}
    whole = any(name.startswith(_BACKBONE) for name in bare)
    aside = _BESIDE_BACKBONE if whole else _CLASSIFIER
    taken, passed_over = {}, []
    for name, tensor in bare.items():
        inner = name.removeprefix(_BACKBONE)
        if name.startswith(aside) or inner.startswith(_CLASSIFIER) or inner.endswith(_COUNTER):
            passed_over.append(tensor.name)
        elif whole and not name.startswith(_BACKBONE):
            # Unknown, and not to be taken for the encoder's own tensor of that name.
            taken[f"beside the backbone: {name}"] = tensor
        else:
            taken[inner] = tensor
    return taken, tuple(passed_over)


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
        if not np.issubdtype(tensor.value.dtype, np.number) or not np.all(np.isfinite(tensor.value))
    ]
    kinds = (("missing", missing), ("unknown", extra), ("of another shape", misshapen), ("not finite", unusable))
    return [f"{len(names)} tensors {kind}: {', '.join(names)}." for kind, names in kinds if names]


def _count_blocks(tensors: Mapping[str, _Tensor], stage: int) -> int:
    prefix = f"layer{stage}."
    return len({name.split(".")[1] for name in tensors if name.startswith(prefix)})
