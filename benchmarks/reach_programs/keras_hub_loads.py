"""KerasHub: a hub folder or a preset as a backbone, whose maps are averaged."""

import keras_hub
import numpy as np
from arrays import in_batches, main


def outputs_of(
    path: str, views: np.ndarray, mean: np.ndarray, std: np.ndarray, normalization: str
) -> dict[str, np.ndarray]:
    """Returns features of images that are normalized by the "values" of the run or by the preset's "converter"."""
    backbone = keras_hub.models.Backbone.from_preset(path)
    if normalization == "converter":
        images = np.asarray(keras_hub.layers.ImageConverter.from_preset(path)(255.0 * views))
    else:
        images = ((views - mean) / std).astype(np.float32)
    return in_batches(lambda part: {"features": np.asarray(backbone(part, training=False)).mean(axis=(1, 2))}, images)


if __name__ == "__main__":
    main(outputs_of, keras_hub.__version__)
