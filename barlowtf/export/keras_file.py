"""A `.keras` file that needs Keras alone."""

from pathlib import Path

import numpy as np

from barlowtf.export.format import Format, Material, write_class_names
from barlowtf.export.network import Parts, trainable_network
from barlowtf.export.replay import in_batches, milliseconds


def write_keras(parts: Parts, path: Path) -> None:
    """Writes a file for `keras.models.load_model`: images float32 [N, H, W, C] in [0, 1] -> outputs.

    Its layers are those of Keras, as they were trained, so that training can go on. Outputs: features [N, d]; with a
    head a dict that also holds logits and probabilities [N, K].
    """
    trainable_network(parts).save(path)


def _write(material: Material, folder: Path) -> dict[str, str]:
    write_keras(material.parts, folder / "model.keras")
    write_class_names(material.parts, folder)
    return {"model.keras": "float32"}


def read_keras(path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the outputs of a `.keras` file that holds layers of Keras alone; runs in a fresh process."""
    import keras

    model = keras.models.load_model(path, compile=False)
    views = inputs["views"].astype(np.float32) / 255.0

    def run(rows: slice) -> dict[str, np.ndarray]:
        return model.predict_on_batch(views[rows])

    return in_batches(run, len(views)) | milliseconds(lambda: run(slice(1)))


KERAS = Format(files=("*.keras",), write=_write, read=read_keras)
