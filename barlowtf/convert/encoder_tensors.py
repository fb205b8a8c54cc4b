"""The tensors of the encoder in a checkpoint, by torchvision's names, wherever the program that wrote it put them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from barlowtf.convert.layouts import LAYOUTS, Layout, behind, holds_resnet, torchvision_names
from barlowtf.convert.prefixes import common_prefix, encoder_prefix, resnet_prefixes, wrapper_prefix
from barlowtf.convert.torch_files import Keys, read_content, state_at, state_dicts, to_arrays, usual_place
from barlowtf.errors import ConversionError

# The authors' whole model: encoder and projector, whose linear layers have no bias.
_BACKBONE, _PROJECTOR, _OTHER_PROJECTOR = "backbone.", "projector.", "projector.0.bias"
_CLASSIFIER = "fc."
# PyTorch counts batches, and with a fixed momentum nobody reads the count.
_COUNTER = "num_batches_tracked"
_NAMES_SHOWN, _DICTS_SHOWN = 5, 6


class Tensor(NamedTuple):
    """A tensor and its name in the state dict."""

    name: str
    value: np.ndarray


class EncoderTensors(NamedTuple):
    """What was found in a checkpoint.

    Attributes:
        encoder: By torchvision's names, "layer1.0.conv1.weight".
        projector: By the authors' names, "projector.0.weight"; {} where there is none that barlowtf makes.
        passed_over: Names of all other tensors of the state dict.
        layout: Project whose layout it is; None: found by general rules, or behind a given prefix.
        prefix: What stands before the encoder's names, the keys that lead to the state dict first:
            "teacher.module.backbone.".
        first_names: The first names of each state dict of the file, for messages.
        small_stem: The stem of an encoder whose first kernel is 3x3.
    """

    encoder: dict[str, Tensor]
    projector: dict[str, Tensor]
    passed_over: tuple[str, ...]
    layout: str | None
    prefix: str
    first_names: str
    small_stem: str = "small"


class _Place(NamedTuple):
    """Where an encoder is: the keys that lead to the state dict, and what stands before its names there."""

    keys: Keys
    prefix: str
    layout: Layout | None = None

    @property
    def path(self) -> str:
        return _path(self.keys) + self.prefix


def find_encoder(source: str | Path | Mapping[str, Any], *, prefix: str | None = None) -> EncoderTensors:
    """Returns the tensors of the encoder that a checkpoint is kept for.

    A layout of `barlowtf.convert.layouts` is recognized by keys and names. Where none is, a ResNet is looked for behind
    any prefix, and of several the one is taken whose prefix says that it was trained.

    Args:
        source: As of `barlowtf.convert.read_tensors`.
        prefix: What stands before the encoder's names, with or without the keys that lead to the state dict:
            "module.encoder_k.", "student.module.backbone.". No projector is looked for then. None: as described.

    Raises:
        ConversionError: The file cannot be read, holds no tensors, or holds several encoders of which none is called
            the trained one; or there is nothing behind `prefix`, or more than one encoder.
    """
    file, content = read_content(source)
    named = state_dicts(content)
    if not named:
        raise ConversionError(f"{file} holds no tensors by name. Expected a state dict, or a checkpoint with one.")
    recognized = _recognize(content)
    if prefix is not None:
        place = _behind(file, named, prefix, recognized)
    else:
        place = recognized or _by_general_rules(file, named, usual_place(content))
    found = _sort(to_arrays(file, state_at(content, place.keys)), place, given=prefix is not None)
    layout = place.layout
    return found._replace(
        small_stem="small" if layout is None else layout.small_stem,
        layout=None if layout is None or prefix is not None else layout.name,
        first_names=_first_names({place.keys: named[place.keys]} if prefix is not None else named),
    )


def _path(keys: Keys) -> str:
    return "".join(f"{key}." for key in keys)


def _recognize(content: Any) -> _Place | None:
    """Returns where the first layout of the table that fits has its encoder."""
    for layout in LAYOUTS:
        if layout.beside and not any(key in content for key in layout.beside):
            continue
        for keys in layout.envelopes:
            names = [key for key, value in state_at(content, keys).items() if hasattr(value, "shape")]
            if not names or not all(isinstance(name, str) for name in names):
                continue
            wrapped = wrapper_prefix(names)
            prefix = layout.prefix_in(behind(wrapped, names))
            if prefix is not None:
                return _Place(keys, wrapped + prefix, layout)
    return None


def _by_general_rules(file: str, named: Mapping[Keys, list[str]], usual: Keys) -> _Place:
    """Returns where the trained encoder is by the names of its prefix, in the usual place or in the only one."""
    with_resnet = [keys for keys, names in named.items() if resnet_prefixes(names)]
    candidates = with_resnet or list(named)
    keys = candidates[0] if len(candidates) == 1 else usual
    if keys not in candidates:
        if with_resnet:
            raise ConversionError(
                f"{file} holds encoders in {len(with_resnet)} places, and no name says which one was trained. "
                f"Choose one with barlowtf convert --prefix: {_quoted(_resnets(named))}."
            )
        raise ConversionError(f"{file} holds no ResNet that barlowtf knows. The first names: {_first_names(named)}.")
    wrapped = common_prefix(named[keys])
    bare = behind(wrapped, named[keys])
    prefix = encoder_prefix(bare) or ""
    # A tensor of a ResNet beside the backbone is a fault, and is not taken for the encoder's own.
    whole = prefix == "" and any(name.startswith(_BACKBONE) for name in bare)
    return _Place(keys, wrapped + (_BACKBONE if whole else prefix))


def _behind(file: str, named: Mapping[Keys, list[str]], prefix: str, recognized: _Place | None) -> _Place:
    """Returns the one place behind a prefix, which is given with or without the keys that lead to the state dict."""
    prefix = prefix if not prefix or prefix.endswith(".") else f"{prefix}."
    places = [
        _Place(keys, start)
        for keys, names in named.items()
        for start in sorted({prefix, prefix.removeprefix(_path(keys))})
        if behind(start, names)
    ]
    places = [place for place in places if holds_resnet(behind(place.prefix, named[place.keys]))] or places
    resnets = _resnets(named)
    if len(places) == 1 and (places[0].path in resnets or not resnets):
        # Heads have the same names in the encoder that was trained and in its copies.
        return places[0] if recognized is None else places[0]._replace(layout=recognized.layout)
    what = "behind which there is no ResNet" if places else "with which no tensor starts"
    if len(places) > 1:
        what = f"which is in {len(places)} places"
    expected = f"expected {_quoted(resnets)}" if resnets else "expected what stands before the names of a ResNet"
    raise ConversionError(
        f'Invalid prefix: received "{prefix}", {what} in {file}, {expected}. The first names: {_first_names(named)}.'
    )


def _resnets(named: Mapping[Keys, list[str]]) -> list[str]:
    """Returns the prefixes of all ResNets, with the keys that lead to them."""
    return [_path(keys) + prefix for keys, names in named.items() for prefix in resnet_prefixes(names)]


def _quoted(prefixes: list[str]) -> str:
    return " or ".join(f'"{prefix}"' for prefix in prefixes)


def _first_names(named: Mapping[Keys, list[str]]) -> str:
    """Returns the first names of each state dict, "student: a, b; teacher: c, d"; of a single one without its keys."""
    texts = [", ".join(names[:_NAMES_SHOWN]) for names in list(named.values())[:_DICTS_SHOWN]]
    if len(named) == 1:
        return texts[0]
    places = [".".join(keys) or "the file itself" for keys in named]
    more = f"; and {len(named) - _DICTS_SHOWN} more dicts of tensors" if len(named) > _DICTS_SHOWN else ""
    return "; ".join(f"{place}: {text}" for place, text in zip(places, texts, strict=False)) + more


def _sort(state: Mapping[str, np.ndarray], place: _Place, *, given: bool) -> EncoderTensors:
    """Returns the tensors of a state dict by what they are; `given`: only the encoder behind its prefix is wanted."""
    wrapped, layout = common_prefix(state), place.layout
    renamed = torchvision_names(behind(place.prefix, state))
    heads = (_CLASSIFIER, *(() if layout is None else layout.heads))
    projector_start = None if given else _projector_start(state, place, wrapped)
    encoder: dict[str, Tensor] = {}
    projector, passed_over = {}, []
    for name, value in state.items():
        tensor, bare, inner = Tensor(name, value), name.removeprefix(wrapped), name.removeprefix(place.prefix)
        if name.endswith(_COUNTER):
            passed_over.append(name)
        elif name.startswith(place.prefix):
            if inner.startswith(heads):
                passed_over.append(name)
            else:
                # Two names that are one in torchvision are a fault: neither may take the other's place.
                key = renamed[inner]
                encoder[key if key not in encoder else f"a second {key}"] = tensor
        elif projector_start is not None and bare.startswith(projector_start):
            projector[bare] = tensor
        elif not given and encoder_prefix([bare]) == "":
            encoder[f"beside the backbone: {name}"] = tensor
        else:
            passed_over.append(name)
    return EncoderTensors(encoder, projector, tuple(passed_over), None, place.path, "")


def _projector_start(state: Mapping[str, np.ndarray], place: _Place, wrapped: str) -> str | None:
    if place.layout is not None:
        return place.layout.projector
    whole = place.prefix == wrapped + _BACKBONE and wrapped + _OTHER_PROJECTOR not in state
    return _PROJECTOR if whole else None
