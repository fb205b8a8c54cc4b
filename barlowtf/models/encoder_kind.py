"""An entry of the table of encoders: the names that it answers to, and what builds them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras

from barlowtf.models.timm_model import TimmModel


@dataclass(frozen=True)
class EncoderKind:
    """A family of encoders.

    Attributes:
        pattern: Regular expression that matches the whole name of each member: "resnet[0-9]+".
        build: Called as `build(name, image_shape=(H, W, C), stem=..., dtype=..., seed=...)`. H and W may be None: any
            size. Returns a functional or Sequential model: normalized images float32 [N, H, W, C] -> features [N, d].
        folds: Returns for an encoder {name of a normalization: name of the layer that it becomes a part of} for exports
            that are for inference alone. None: encoders are exported as they are.
        torch_names: Returns for an encoder {name of a layer: name of the PyTorch module}, in the order of PyTorch's
            modules. None: its weights have no names in PyTorch, and there is no export to a state dict.
        timm: Called as `timm(encoder, size)`, the encoder and the side of its views in pixels; returns the same model
            of timm, or raises ValueError where timm has none. None: there is no export to a hub folder.
        stems: Values of model.stem beside "auto"; `build` is never called with another. (): its first layers are its
            own.
        zero_residual: Whether its residual branches start at zero and `build` takes `zero_residual=False`, which lets
            them start as the other layers do.
        detector_cut: Returns for an encoder the names of the layers with which its trunk and its head as parts of a
            detector end: the last of stage 4 and the last that has pixels. None: it has no such stages.
        refused_optimizers: Name of an optimizer that does not train such encoders -> the reason, for the message.
        members: Names to show in documentation, all of them or examples.
    """

    pattern: str
    build: Callable[..., keras.Model]
    folds: Callable[[keras.Model], Mapping[str, str]] | None = None
    torch_names: Callable[[keras.Model], Mapping[str, str]] | None = None
    timm: Callable[[keras.Model, int], TimmModel] | None = None
    stems: tuple[str, ...] = ()
    zero_residual: bool = False
    detector_cut: Callable[[keras.Model], tuple[str, str]] | None = None
    refused_optimizers: Mapping[str, str] = field(default_factory=dict)
    members: tuple[str, ...] = ()
