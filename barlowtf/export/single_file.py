"""A `.keras` file that needs Keras alone, and an ONNX file."""

import io
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from barlowtf.export.network import Parts, inference_network, trainable_network

# Of October 2022: every runtime that is still kept up reads it, and nothing here needs a later one.
_ONNX_OPSET = 17


def write_keras(parts: Parts, path: Path) -> None:
    """Writes a file for `keras.models.load_model`: images float32 [N, H, W, C] in [0, 1] -> outputs.

    Its layers are those of Keras, as they were trained, so that training can go on. Outputs: features [N, d]; with a
    head a dict with logits and probabilities [N, K], too.
    """
    trainable_network(parts).save(path)


def write_onnx(parts: Parts, path: Path) -> None:
    """Writes an ONNX file: images float32 [N, S, S, C] in [0, 1] -> features, with a head logits and probabilities."""
    network = inference_network(parts)
    if parts.head is None:
        # A name for the only output.
        network = type(network)(network.input, {"features": network.output}, name=network.name)
    # The exporter asks for the shapes of a call.
    network(np.zeros((1, *network.inputs[0].shape[1:]), np.float32))
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        # Keras' exporter looks for a name that NumPy is about to define.
        warnings.simplefilter("ignore", FutureWarning)
        network.export(str(path), format="onnx", verbose=False, opset_version=_ONNX_OPSET)
