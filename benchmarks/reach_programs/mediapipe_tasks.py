"""Runs a LiteRT file by MediaPipe Tasks: ImageEmbedder where it gives features, ImageClassifier where probabilities.

Command: python mediapipe_tasks.py FILE.tflite IMAGES.npz OUT.npz

IMAGES holds `views`, uint8 [N, S, S, 3], of the size that the file takes. OUT gets the outputs by their names, float32
[N, ...], from ImageClassifier also the names of the classes as `class_names`, and the `version` of MediaPipe. Needs
`mediapipe` and NumPy alone.
"""

import sys

import mediapipe
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision


def classify(path: str, views: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the one output of a file as ImageClassifier has it, and the name that it has for each class."""
    options = vision.ImageClassifierOptions(tasks.BaseOptions(model_asset_path=path))
    rows, names = [], {}
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for view in views:
            (found,) = classifier.classify(_image(view)).classifications
            names = {category.index: category.category_name or "" for category in found.categories}
            rows.append([category.score for category in sorted(found.categories, key=lambda category: category.index)])
    return {found.head_name: np.array(rows, np.float32), "class_names": np.array([names[k] for k in sorted(names)])}


def embed(path: str, views: np.ndarray) -> dict[str, np.ndarray]:
    """Returns all outputs of a file as ImageEmbedder has them."""
    options = vision.ImageEmbedderOptions(tasks.BaseOptions(model_asset_path=path))
    with vision.ImageEmbedder.create_from_options(options) as embedder:
        found = [embedder.embed(_image(view)).embeddings for view in views]
    by_head = zip(*found, strict=True)
    return {
        heads[0].head_name: np.stack([np.asarray(head.embedding, np.float32) for head in heads]) for heads in by_head
    }


def _image(view: np.ndarray) -> mediapipe.Image:
    return mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(view))


def main(path: str, source: str, target: str) -> None:
    """Runs one file."""
    with np.load(source) as arrays:
        views = arrays["views"]
    outputs = embed(path, views)
    if "features" not in outputs:
        outputs = classify(path, views)
    np.savez(target, version=mediapipe.__version__, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
