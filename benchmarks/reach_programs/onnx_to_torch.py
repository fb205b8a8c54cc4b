"""onnx2torch: an ONNX file of the layout nchw as a module of PyTorch."""

from importlib import metadata

import numpy as np
import onnx
import onnx2torch
import torch
from arrays import in_batches, main


def outputs_of(path: str, views: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the outputs by their names in the file, which the module gives in order."""
    names = [output.name for output in onnx.load(path).graph.output]
    module = onnx2torch.convert(path).eval()

    def run(part: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            found = module(torch.from_numpy(np.ascontiguousarray(part.transpose(0, 3, 1, 2))))
        return dict(zip(names, [value.numpy() for value in found], strict=True))

    return in_batches(run, views)


if __name__ == "__main__":
    main(outputs_of, metadata.version("onnx2torch"))
