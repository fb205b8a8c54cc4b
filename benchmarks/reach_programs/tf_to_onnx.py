"""tf2onnx: a SavedModel's signature float_images as an ONNX file, run by onnxruntime."""

import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx_runtime
from arrays import main


def outputs_of(path: str, views: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the outputs by their names."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "model.onnx")
        words = ["--saved-model", path, "--signature_def", "float_images", "--output", file, "--opset", "17"]
        subprocess.run([sys.executable, "-m", "tf2onnx.convert", *words], check=True, capture_output=True)
        return onnx_runtime.outputs_of(file, views, mean, std)


if __name__ == "__main__":
    main(outputs_of, metadata.version("tf2onnx"))
