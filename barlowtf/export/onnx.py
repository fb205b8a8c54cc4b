"""An ONNX file."""

import functools
import io
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf.export.format import Format, Material, write_class_names
from barlowtf.export.network import Parts, inference_network
from barlowtf.export.replay import in_batches, milliseconds

# Of October 2022: every runtime that is still maintained reads it, and nothing here needs a later one.
_ONNX_OPSET = 17


def write_onnx(parts: Parts, path: Path) -> None:
    """Writes an ONNX file: images float32 [N, S, S, C] in [0, 1] -> features, with a head logits and probabilities."""
    _teach_erfc()
    network = inference_network(parts)
    if parts.head is None:
        # A name for the only output.
        network = type(network)(network.input, {"features": network.output}, name=network.name)
    # The exporter needs the shapes of a call.
    network(np.zeros((1, *network.inputs[0].shape[1:]), np.float32))
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        # Keras' exporter looks for a name that NumPy is about to define.
        warnings.simplefilter("ignore", FutureWarning)
        network.export(str(path), format="onnx", verbose=False, opset_version=_ONNX_OPSET)


@functools.cache
def _teach_erfc() -> None:
    """Teaches the converter TensorFlow's Erfc, of which the activation GELU is made: 1 - Erf."""
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, graph: Any, node: Any, **_: Any) -> None:
            form = {"shapes": node.output_shapes, "dtypes": node.output_dtypes}
            inputs, outputs, name = node.input, node.output, node.name
            graph.remove_node(name)
            erf = graph.make_node("Erf", inputs, **form)
            one = graph.make_const(f"{name}/one", np.ones((), np.float32))
            graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=outputs, name=name, **form)


def _write(material: Material, folder: Path) -> dict[str, str]:
    write_onnx(material.parts, folder / "model.onnx")
    write_class_names(material.parts, folder)
    return {"model.onnx": "float32"}


def read_onnx(path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the outputs of an ONNX file, run by onnxruntime; runs in a fresh process."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    views = inputs["views"].astype(np.float32) / 255.0
    names = [output.name for output in session.get_outputs()]

    def run(rows: slice) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, {session.get_inputs()[0].name: views[rows]}), strict=True))

    return in_batches(run, len(views)) | milliseconds(lambda: run(slice(1)))


ONNX = Format(
    files=("*.onnx",), write=_write, read=read_onnx, packages=("tf2onnx", "onnx", "onnxruntime"), extra="onnx"
)
