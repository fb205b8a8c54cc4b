"""Runs an exported file in a process of its own, with nothing but what that kind of file needs.

python -P replay.py KIND PATH INPUTS.npz OUTPUTS.npz

Started by its path, so that barlowtf is not imported: what it shows holds for a program that does not have barlowtf.
INPUTS holds `views`, uint8 [M, S, S, C], and for a SavedModel `encoded`, M images as PNG bytes in one array with their
`lengths`. OUTPUTS receives one array a name, M rows each, and `milliseconds`, one image at a time, median.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

_BATCH = 64
_TIMED, _WARM_UP = 20, 3
Outputs = dict[str, Any]


def replay_saved_model(path: str, inputs: dict[str, np.ndarray]) -> Outputs:
    """Returns the outputs of all signatures, as "signature/output"."""
    import tensorflow as tf

    signatures = tf.saved_model.load(path).signatures
    views = inputs["views"].astype(np.float32) / 255.0
    ends = np.cumsum(inputs["lengths"])
    encoded = [
        inputs["encoded"][end - length : end].tobytes() for end, length in zip(ends, inputs["lengths"], strict=True)
    ]
    images = [tf.io.decode_image(content, expand_animations=False)[None] for content in encoded]

    def float_images(rows: slice) -> Outputs:
        return signatures["float_images"](images=tf.constant(views[rows]))

    def from_jpeg(rows: slice) -> Outputs:
        return signatures["from_jpeg"](encoded=tf.constant(encoded[rows]))

    def one_by_one(name: str) -> Callable[[slice], Outputs]:
        return lambda rows: _joined([signatures[name](images=image) for image in images[rows]])

    runs = {"float_images": float_images, "from_jpeg": from_jpeg, "serving_default": one_by_one("serving_default")}
    if "embed" in signatures:
        runs["embed"] = one_by_one("embed")
    found = {name: _in_batches(run, len(views)) for name, run in runs.items()}
    outputs = {f"{name}/{key}": value for name, result in found.items() for key, value in result.items()}
    outputs = {
        name: np.char.decode(value.astype(bytes)) if value.dtype == object else value for name, value in outputs.items()
    }
    return outputs | {"milliseconds": _milliseconds(lambda: signatures["serving_default"](images=images[0]))}


def replay_keras(path: str, inputs: dict[str, np.ndarray]) -> Outputs:
    """Returns the outputs of a `.keras` file that holds layers of Keras alone."""
    import keras

    model = keras.models.load_model(path, compile=False)
    views = inputs["views"].astype(np.float32) / 255.0

    def run(rows: slice) -> Outputs:
        return _named(model.predict_on_batch(views[rows]))

    return _in_batches(run, len(views)) | {"milliseconds": _milliseconds(lambda: run(slice(1)))}


def replay_tflite(path: str, inputs: dict[str, np.ndarray]) -> Outputs:
    """Returns the outputs of a LiteRT file, dequantized."""
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(model_path=path, num_threads=2).get_signature_runner("serving_default")
    details = signature.get_output_details()
    (image,) = signature.get_input_details().values()
    views = inputs["views"] if image["dtype"] == np.uint8 else inputs["views"].astype(np.float32) / 255.0

    def run(rows: slice) -> Outputs:
        outputs = signature(images=views[rows])
        return {name: _dequantized(value, *details[name]["quantization"]) for name, value in outputs.items()}

    return _in_batches(run, len(views)) | {"milliseconds": _milliseconds(lambda: run(slice(1)))}


def replay_onnx(path: str, inputs: dict[str, np.ndarray]) -> Outputs:
    """Returns the outputs of an ONNX file, run by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    views = inputs["views"].astype(np.float32) / 255.0
    names = [output.name for output in session.get_outputs()]

    def run(rows: slice) -> Outputs:
        return dict(zip(names, session.run(names, {session.get_inputs()[0].name: views[rows]}), strict=True))

    return _in_batches(run, len(views)) | {"milliseconds": _milliseconds(lambda: run(slice(1)))}


def replay_torch(path: str, inputs: dict[str, np.ndarray]) -> Outputs:
    """Returns the tensors of a PyTorch file by name."""
    import torch

    return {name: value.numpy() for name, value in torch.load(path, weights_only=True).items()}


def _in_batches(run: Callable[[slice], Outputs], count: int) -> Outputs:
    return _joined([run(slice(start, min(start + _BATCH, count))) for start in range(0, count, _BATCH)])


def _joined(parts: list[Outputs]) -> Outputs:
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def _named(outputs: Any) -> Outputs:
    return outputs if isinstance(outputs, dict) else {"features": outputs}


def _dequantized(value: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    return (value.astype(np.float32) - zero_point) * np.float32(scale) if scale else value.copy()


def _milliseconds(run: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(_WARM_UP + _TIMED):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[_WARM_UP:])


def main(kind: str, path: str, source: str, target: str) -> None:
    """Runs one file."""
    warnings.simplefilter("ignore")
    runs = {
        "saved-model": replay_saved_model,
        "keras": replay_keras,
        "tflite": replay_tflite,
        "onnx": replay_onnx,
        "torch": replay_torch,
    }
    with np.load(source) as inputs:
        outputs = runs[kind](path, dict(inputs))
    if "barlowtf" in sys.modules:
        raise SystemExit("barlowtf was imported: the file does not stand alone")
    np.savez(target, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
