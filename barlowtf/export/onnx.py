"""An ONNX file, whose metadata say what goes in and what comes out."""

import functools
import io
import json
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from pydantic import Field

from barlowtf.config.section import Batch, Section
from barlowtf.export.format import Format, Material, write_class_names
from barlowtf.export.network import Parts, inference_network
from barlowtf.export.replay import filled_up, in_batches, milliseconds

# Of October 2022: every runtime that is still maintained reads it, and nothing here needs a later one.
_ONNX_OPSET = 17


class OnnxSettings(Section):
    """What an ONNX file takes."""

    layout: Literal["nhwc", "nchw"] = Field("nhwc", description="order of the axes of the images")
    batch: Batch | None = Field(None, description="number of images in a call; null: any")


def write_onnx(
    parts: Parts, path: Path, settings: OnnxSettings | None = None, facts: Mapping[str, str] | None = None
) -> None:
    """Writes an ONNX file: images float32 in [0, 1] -> features, with a head logits and probabilities.

    Images are [N, S, S, C], or [N, C, S, S] where the layout is "nchw"; the first axis of inputs and outputs is called
    "N" or fixed. The metadata hold layout, range, mean and deviation (both are applied inside), and class names.

    Args:
        parts: What is exported.
        path: File, new.
        settings: Layout and batch; None: the defaults.
        facts: Further metadata.
    """
    settings = settings or OnnxSettings()
    _teach_erfc()
    network = inference_network(parts)
    images = network.input
    if settings.layout == "nchw":
        images = keras.Input((parts.channels, parts.size, parts.size), name="images")
    outputs = network(images if settings.layout == "nhwc" else keras.ops.transpose(images, (0, 2, 3, 1)))
    # A name for the only output.
    outputs = {"features": outputs} if parts.head is None else outputs
    network = keras.Model(images, outputs, name=network.name)
    # The exporter needs the shapes of a call.
    network(np.zeros((1, *images.shape[1:]), np.float32))
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        # Keras' exporter looks for a name that NumPy is about to define.
        warnings.simplefilter("ignore", FutureWarning)
        network.export(str(path), format="onnx", verbose=False, opset_version=_ONNX_OPSET)
    _describe(path, settings, {**_metadata(parts, settings), **(facts or {})})


def _metadata(parts: Parts, settings: OnnxSettings) -> dict[str, str]:
    """Returns what a program cannot see from the graph."""
    return {
        "layout": settings.layout,
        "range": json.dumps([0.0, 1.0]),
        "channels": {1: "gray", 3: "RGB"}.get(parts.channels, str(parts.channels)),
        "mean": json.dumps(parts.mean),
        "std": json.dumps(parts.std),
        "normalization": "inside: mean and std are applied by the file",
        **({} if parts.class_names is None else {"class_names": json.dumps(parts.class_names, ensure_ascii=False)}),
    }


def _describe(path: Path, settings: OnnxSettings, metadata: Mapping[str, str]) -> None:
    """Writes metadata into a file, and a name or a number for its batch dimension."""
    import onnx

    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        batch = value.type.tensor_type.shape.dim[0]
        batch.Clear()
        if settings.batch is None:
            batch.dim_param = "N"
        else:
            batch.dim_value = settings.batch
    # Shapes within the graph still have the exporter's names for the dimension.
    del model.graph.value_info[:]
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    onnx.save(model, path)


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
    write_onnx(material.parts, folder / "model.onnx", material.settings, material.about.facts)
    write_class_names(material.parts, folder)
    return {"model.onnx": "float32"}


def read_onnx(path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the outputs of an ONNX file, run by onnxruntime; runs in a fresh process."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()
    views = inputs["views"].astype(np.float32) / 255.0
    if session.get_modelmeta().custom_metadata_map["layout"] == "nchw":
        views = np.ascontiguousarray(views.transpose(0, 3, 1, 2))
    names = [output.name for output in session.get_outputs()]
    batch = images.shape[0] if isinstance(images.shape[0], int) else None

    call = filled_up(lambda part: dict(zip(names, session.run(names, {images.name: part}), strict=True)), batch)

    def run(rows: slice) -> dict[str, np.ndarray]:
        return call(views[rows])

    return in_batches(run, len(views), batch) | milliseconds(lambda: run(slice(1)))


ONNX = Format(
    files=("*.onnx",),
    write=_write,
    read=read_onnx,
    settings=OnnxSettings,
    packages=("tf2onnx", "onnx", "onnxruntime"),
    extra="onnx",
)
