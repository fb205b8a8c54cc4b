"""An entry of the table of encoders: the names that it answers to, and what builds them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras


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
    """

    pattern: str
    build: Callable[..., keras.Model]
    folds: Callable[[keras.Model], Mapping[str, str]] | None = None
    torch_names: Callable[[keras.Model], Mapping[str, str]] | None = None
