"""Runs a LiteRT file by OpenCV.

Command: python opencv_tflite.py FILE.tflite IMAGES.npz OUT.npz

IMAGES holds `views`, uint8 [N, S, S, 3], of the size that the file takes. OUT gets the outputs by their names, float32
[N, ...], and the `version` of OpenCV. Needs OpenCV 5 and NumPy alone.
"""

import sys

import cv2
import numpy as np


def run(path: str, views: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the outputs of a file that takes float32 in [0, 1], one image at a time."""
    net = cv2.dnn.readNetFromTFLite(path)
    names = net.getUnconnectedOutLayersNames()
    rows = []
    for view in views:
        # [1, 3, S, S]: OpenCV turns the file's images [1, S, S, 3] around.
        net.setInput(cv2.dnn.blobFromImage(view, 1 / 255))
        # Copies: the next call writes over what this one has returned.
        rows.append([value.copy() for value in net.forward(names)])
    return {name: np.concatenate(found) for name, found in zip(names, zip(*rows, strict=True), strict=True)}


def main(path: str, source: str, target: str) -> None:
    """Runs one file."""
    with np.load(source) as arrays:
        views = arrays["views"]
    np.savez(target, version=cv2.__version__, **run(path, views))


if __name__ == "__main__":
    main(*sys.argv[1:])
