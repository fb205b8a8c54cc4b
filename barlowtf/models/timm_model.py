"""The same encoder in timm, the PyTorch library of image models: what it is called there, and where its weights go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True)
class TimmModel:
    """A model of timm that gives the features of an encoder.

    Attributes:
        architecture: First argument of `timm.create_model`.
        arguments: Its further arguments beside the number of classes: {"in_chans": 1}.
        classifier: Name of its classifier.
        weights: Name of a tensor -> the encoder's variables that it holds, joined along its first axis.
        in_keras_hub: Whether KerasHub loads the same files.
        constants: Name of a tensor that the encoder computes instead of storing -> its value.
    """

    architecture: str
    arguments: Mapping[str, Any]
    classifier: str
    weights: Mapping[str, tuple[keras.Variable, ...]]
    in_keras_hub: bool = False
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
