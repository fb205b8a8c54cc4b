"""A SavedModel as an encoder, barlowtf's own export or another's."""

import hashlib
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from barlowtf.config import Recipe
from barlowtf.data.images import reason_of
from barlowtf.encoders.encoder import Encoder, evaluated_size, normalization_of, require_square
from barlowtf.encoders.saved_model_scan import require_harmless
from barlowtf.errors import CheckpointError
from barlowtf.regular import require_regular_below


def open_saved_model(name: str, path: Path, recipe: Recipe | None, *, trust: bool = False) -> Encoder:
    """Returns a SavedModel as a frozen encoder.

    Signature "float_images", of barlowtf's own exports: images in [0, 1], the normalization inside. Otherwise the
    default signature, which must take normalized float images and return features. Without `trust` its operations are
    looked at before it is loaded, see `barlowtf.encoders.saved_model_scan`.
    """
    if not trust:
        require_harmless(path)
    try:
        require_regular_below(path)
        loaded = tf.saved_model.load(str(path))
    # The loader trusts the structure of its files: a damaged one makes it raise anything.
    except Exception as error:
        raise CheckpointError(f"Cannot read the SavedModel {path}: {reason_of(error)[:300]}") from error
    own = "float_images" in loaded.signatures
    signature = loaded.signatures.get("float_images") or loaded.signatures.get("serving_default")
    inputs = {} if signature is None else signature.structured_input_signature[1]
    argument, images = next(iter(inputs.items()), ("", tf.TensorSpec(None, tf.string)))
    if len(inputs) != 1 or images.dtype != tf.float32 or images.shape.rank != 4:
        raise CheckpointError(
            f"Invalid SavedModel {path}: received the signatures {sorted(loaded.signatures)}, expected "
            '"float_images", or "serving_default" that takes one float32 [N, H, W, C].'
        )
    outputs = signature.structured_outputs
    key = "features" if "features" in outputs else next(iter(outputs))
    rows, *widths = outputs[key].shape.as_list() if outputs[key].shape.rank is not None else [None]
    if images.shape[0] is not None or rows is not None or len(widths) != 1 or widths[0] is None:
        raise CheckpointError(
            f"Invalid encoder: {path} maps images {images.shape} to {key} {outputs[key].shape}, expected features "
            "[N, d] for any number N of images."
        )
    size = evaluated_size(recipe)
    shape = tuple(images.shape[1:])
    shape = (shape[0] or size, shape[1] or size, shape[2])
    require_square(name, shape)
    model = _Signature(loaded, signature, argument, key, (None, *shape))
    model.trainable = False
    mean, std = ((0.0,), (1.0,)) if own else normalization_of(name, recipe, shape[2])
    sha256 = _files_sha256(path)
    # What lies behind a signature cannot be told from its weights.
    return Encoder(name, "saved-model", "trained", sha256, sha256, shape, mean, std, model)


class _Signature(keras.Model):
    """A signature of a SavedModel as a Keras model without weights of its own."""

    def __init__(
        self, loaded: Any, signature: Any, argument: str, key: str, input_shape: tuple[int | None, ...]
    ) -> None:
        super().__init__(name="saved_model")
        # A signature does not keep its variables alive.
        self._loaded = loaded
        self._signature, self._argument, self._key = signature, argument, key
        self._shape = input_shape

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return self._shape

    @property
    def output_shape(self) -> tuple[int | None, int]:
        return (None, int(self._signature.structured_outputs[self._key].shape[-1]))

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self._signature(**{self._argument: images})[self._key]


def _files_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(folder)}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
