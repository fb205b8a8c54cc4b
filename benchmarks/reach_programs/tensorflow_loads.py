"""TensorFlow and what comes with it: a SavedModel by signature, as a function, as TensorFlow Hub or Keras load it."""

import numpy as np
import tensorflow as tf
from arrays import in_batches, main


def outputs_of(path: str, views: np.ndarray, mean: np.ndarray, std: np.ndarray, way: str) -> dict[str, np.ndarray]:
    """Returns the outputs by their names; way: signature, function, hub or layer."""
    if way == "layer":
        import keras

        loaded = keras.layers.TFSMLayer(path, call_endpoint="serve")
    elif way == "hub":
        import tensorflow_hub

        loaded = tensorflow_hub.load(path)
    else:
        loaded = tf.saved_model.load(path)
        signature = loaded.signatures["float_images"]
        if way == "signature":
            return in_batches(lambda part: signature(images=tf.constant(part)), views)
    return in_batches(lambda part: loaded(tf.constant(part)), views)


if __name__ == "__main__":
    main(outputs_of, tf.__version__)
