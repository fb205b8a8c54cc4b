"""OpenVINO: a SavedModel by its path alone, or by the function that is loaded from it."""

from importlib import metadata

import numpy as np
import openvino
import tensorflow as tf
from arrays import in_batches, main


def outputs_of(path: str, views: np.ndarray, mean: np.ndarray, std: np.ndarray, way: str) -> dict[str, np.ndarray]:
    """Returns the outputs by their names; way: path or function."""
    # Kept: a function alone does not keep its variables.
    loaded = tf.saved_model.load(path)
    model = openvino.convert_model(path if way == "path" else loaded.serve)
    # Its default is bfloat16 where the processor has it.
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [output.any_name for output in compiled.outputs]
    known = dict(zip(names, _own_names(names), strict=True))
    return in_batches(lambda part: {known[key.any_name]: value for key, value in compiled(part).items()}, views)


def _own_names(names: list[str]) -> list[str]:
    """Returns the names of the outputs; a function's outputs come in the order of their names, without them."""
    own = ["features", "logits", "probabilities"]
    return names if set(names) <= set(own) else own[: len(names)]


if __name__ == "__main__":
    main(outputs_of, metadata.version("openvino"))
