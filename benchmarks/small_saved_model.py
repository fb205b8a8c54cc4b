"""A SavedModel of a few layers with the signatures of an export: what the tests and, without an export, compat load."""

from pathlib import Path

import numpy as np
import tensorflow as tf

CLASSES = ("cat", "dog", "a class whose name does not fit into a short string", "é")
_SIZE = 32


def write_small_saved_model(folder: Path) -> Path:
    """Writes folder/1 and returns it.

    Signatures: serving_default (images uint8 [N, H, W, 3]), float_images (images float32 [N, 32, 32, 3] in [0, 1]),
    from_jpeg (encoded string [N]). Outputs: features float32 [N, 16], logits and probabilities [N, 4], label string
    [N]; from_jpeg also valid, bool [N], false where the bytes are no image: such a row is zero.
    """
    model, path = _Model(), folder / "1"
    signatures = {
        "serving_default": model.from_pixels,
        "float_images": model.from_floats,
        "from_jpeg": model.from_bytes,
    }
    tf.saved_model.save(model, str(path), signatures=signatures)
    return path


class _Model(tf.Module):
    """One convolution, one linear layer; random weights of a fixed seed."""

    def __init__(self) -> None:
        super().__init__()
        r = np.random.default_rng(0)
        self.kernel = tf.Variable(r.standard_normal((3, 3, 3, 16)).astype(np.float32))
        self.weights = tf.Variable(r.standard_normal((16, len(CLASSES))).astype(np.float32))

    def _outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images, self.kernel, 2, "SAME")), axis=(1, 2))
        logits = features @ self.weights
        return {
            "features": features,
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "label": tf.gather(tf.constant(CLASSES), tf.argmax(logits, axis=1)),
        }

    @tf.function(input_signature=[tf.TensorSpec([None, _SIZE, _SIZE, 3], tf.float32, "images")])
    def from_floats(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._outputs(images)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
    def from_pixels(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._outputs(_small(images))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "encoded")])
    def from_bytes(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        images, valid = _decode(encoded)
        outputs = self._outputs(images)
        rows = {name: tf.where(valid[:, None], outputs[name], 0.0) for name in ("features", "logits", "probabilities")}
        return {**rows, "label": tf.where(valid, outputs["label"], ""), "valid": valid}


def _decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (pixels float32 [N, 32, 32, 3], valid bool [N]) of JPEG or PNG files [N]; black where not valid."""
    rows = tf.size(encoded)

    def numbered(i: tf.Tensor, content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # This operation reads both.
        return i, _small(tf.io.decode_jpeg(content, channels=3)[None])

    def put(state: tuple[tf.Tensor, tf.Tensor], pair: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        (images, valid), (i, image) = state, pair
        place = [[i]]
        return tf.tensor_scatter_nd_update(images, place, image), tf.tensor_scatter_nd_update(valid, place, [True])

    # Only a data set can pass over what fails.
    readable = tf.data.Dataset.from_tensor_slices(encoded).enumerate().map(numbered).ignore_errors()
    return readable.reduce((tf.zeros([rows, _SIZE, _SIZE, 3]), tf.zeros([rows], tf.bool)), put)


def _small(images: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [N, H, W, 3] as float32 [N, 32, 32, 3] in [0, 1]."""
    return tf.image.resize(tf.cast(images, tf.float32) / 255.0, [_SIZE, _SIZE], antialias=True)
