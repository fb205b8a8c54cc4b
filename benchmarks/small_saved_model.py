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
    [N]; from_jpeg also valid, bool [N], false where the bytes do not begin as a JPEG's or PNG's do.
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
        png = tf.strings.substr(encoded, 0, 4) == b"\x89PNG"
        jpeg = tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"
        valid = png | jpeg

        def decode(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            content, good = pair
            return tf.cond(good, lambda: _decoded(content), lambda: tf.zeros([_SIZE, _SIZE, 3]))

        images = tf.map_fn(decode, (encoded, valid), fn_output_signature=tf.TensorSpec([_SIZE, _SIZE, 3], tf.float32))
        outputs = self._outputs(images)
        rows = {name: tf.where(valid[:, None], outputs[name], 0.0) for name in ("features", "logits", "probabilities")}
        return {**rows, "label": tf.where(valid, outputs["label"], ""), "valid": valid}


def _decoded(content: tf.Tensor) -> tf.Tensor:
    """Returns a JPEG or PNG as float32 [32, 32, 3]: this operation reads both."""
    return _small(tf.io.decode_jpeg(content, channels=3, try_recover_truncated=True)[None])[0]


def _small(images: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [N, H, W, 3] as float32 [N, 32, 32, 3] in [0, 1]."""
    return tf.image.resize(tf.cast(images, tf.float32) / 255.0, [_SIZE, _SIZE], antialias=True)
