"""OpenCV DNN: an ONNX file of the layout nchw, fed by its own blobFromImages from 8-bit pictures in BGR."""

import cv2
import numpy as np
from arrays import in_batches, main


def outputs_of(path: str, views: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the outputs by their names."""
    network = cv2.dnn.readNetFromONNX(path)
    names = network.getUnconnectedOutLayersNames()
    pictures = np.ascontiguousarray(np.rint(views * 255.0).astype(np.uint8)[..., ::-1])

    def run(part: np.ndarray) -> dict[str, np.ndarray]:
        network.setInput(cv2.dnn.blobFromImages(list(part), scalefactor=1 / 255, swapRB=True))
        return dict(zip(names, network.forward(names), strict=True))

    return in_batches(run, pictures)


if __name__ == "__main__":
    main(outputs_of, cv2.__version__)
