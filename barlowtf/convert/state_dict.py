"""An encoder's weights as the state dict of the same network in PyTorch."""

from collections.abc import Mapping

import keras
import numpy as np

from barlowtf.convert.resnet_names import named_weights, to_torch_layout

_LAST_OF_NORMALIZATION, _COUNTER = "running_var", "num_batches_tracked"


def state_dict_of(
    encoder: keras.Model,
    projector: keras.Model | None = None,
    head: keras.Model | None = None,
    *,
    names: Mapping[str, str] | None = None,
) -> dict[str, np.ndarray]:
    """Returns weights under PyTorch's names, in its layouts and in the order of its modules.

    Args:
        encoder: See `barlowtf.models.make_encoder`, in Keras' own layers too.
        projector: See `barlowtf.models.make_projector`: the names are then those of the authors' whole model. The
            running statistics of its last normalization, "bn.", which barlowtf does not keep, are those of a new one.
        head: See `barlowtf.models.make_head`: the classifier of an encoder without projector.
        names: Layer of the encoder -> PyTorch module, see `barlowtf.models.EncoderKind`; None: those of ResNets.

    Returns:
        Name -> array: float32; int64 scalars 0 under "num_batches_tracked", which a fixed momentum leaves unread.

    Raises:
        ValueError: One of the models is another one, their widths differ, or there are both projector and head.

    Source: torchvision resnet.py; facebookresearch/barlowtwins main.py, BarlowTwins.__init__.
    """
    width = encoder.output_shape[-1]
    for name, part in (("projector", projector), ("head", head)):
        if part is not None and part.input_shape[-1] != width:
            raise ValueError(
                f"Invalid {name}: received width {part.input_shape[-1]} for an encoder of width {width}, expected the "
                "same."
            )
    if projector is not None and head is not None:
        raise ValueError(
            "Invalid parts: received a projector and a head, expected one: the authors' model has no classifier."
        )
    state = _values(encoder, names)
    if head is not None:
        return state | _classifier(head)
    if projector is None:
        return state
    whole = {f"backbone.{name}": value for name, value in state.items()} | _values(projector)
    width = projector.output_shape[-1]
    return whole | {
        "bn.running_mean": np.zeros(width, np.float32),
        "bn.running_var": np.ones(width, np.float32),
        f"bn.{_COUNTER}": np.zeros((), np.int64),
    }


def _values(model: keras.Model, names: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    values = {}
    for name, weight in named_weights(model, names).items():
        values[name] = to_torch_layout(_numpy(weight.variable))
        layer, _, part = name.rpartition(".")
        if part == _LAST_OF_NORMALIZATION:
            values[f"{layer}.{_COUNTER}"] = np.zeros((), np.int64)
    return values


def _classifier(head: keras.Model) -> dict[str, np.ndarray]:
    weights = {weight.name: _numpy(weight) for weight in head.weights}
    if len(head.weights) != 2 or set(weights) != {"kernel", "bias"} or weights["kernel"].ndim != 2:
        raise ValueError(
            f"Invalid head: received the weights {[weight.path for weight in head.weights]}, expected those of one "
            "linear layer: kernel and bias."
        )
    return {"fc.weight": to_torch_layout(weights["kernel"]), "fc.bias": weights["bias"]}


def _numpy(variable: keras.Variable) -> np.ndarray:
    return variable.numpy().astype(np.float32)
