"""onnxruntime: an ONNX file of either layout."""

import numpy as np
import onnxruntime
from arrays import in_batches, main


def outputs_of(path: str, views: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the outputs by their names."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    if images.shape[1] == views.shape[3]:
        views = np.ascontiguousarray(views.transpose(0, 3, 1, 2))
    return in_batches(lambda part: dict(zip(names, session.run(names, {images.name: part}), strict=True)), views)


if __name__ == "__main__":
    main(outputs_of, onnxruntime.__version__)
