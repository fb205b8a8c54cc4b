"""The weights of an encoder as the state dict of the same model in timm, and back."""

from collections.abc import Mapping

import keras
import numpy as np

from barlowtf.convert.resnet_names import from_torch_layout, to_torch_layout
from barlowtf.errors import ConversionError
from barlowtf.models.timm_model import TimmModel


def timm_state(model: TimmModel, head: keras.Model | None = None) -> dict[str, np.ndarray]:
    """Returns the tensors of a model of timm by name, float32; counters int64.

    Args:
        model: See `barlowtf.models.EncoderKind.timm`.
        head: See `barlowtf.models.make_head`; None: no classifier.
    """
    state = {
        name: np.concatenate([to_torch_layout(_numpy(variable)) for variable in variables])
        for name, variables in model.weights.items()
    }
    state |= model.constants
    if head is not None:
        weights = {weight.name: _numpy(weight) for weight in head.weights}
        state[f"{model.classifier}.weight"] = to_torch_layout(weights["kernel"])
        state[f"{model.classifier}.bias"] = weights["bias"]
    return state


def assign_timm_state(model: TimmModel, state: Mapping[str, np.ndarray]) -> None:
    """Assigns tensors of timm to the variables of an encoder; a classifier is passed over.

    Raises:
        ConversionError: Tensors are missing, unknown, or of other shapes; nothing is assigned then.
    """
    wanted = {name: value.shape for name, value in timm_state(model).items()}
    given = {name: value.shape for name, value in state.items() if not name.startswith(f"{model.classifier}.")}
    if given != wanted:
        names = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        raise ConversionError(f"{len(names)} tensors are not those of {model.architecture}: {', '.join(names[:5])}.")
    for name, variables in model.weights.items():
        for variable, part in zip(variables, np.split(state[name], len(variables)), strict=True):
            variable.assign(from_torch_layout(part))


def _numpy(variable: keras.Variable) -> np.ndarray:
    return variable.numpy().astype(np.float32)
