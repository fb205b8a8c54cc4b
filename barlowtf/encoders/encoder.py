"""An encoder with everything needed to feed it."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from barlowtf import augment
from barlowtf.config import Recipe
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.models import extract_features
from barlowtf.models.fingerprint import weights_sha256

_LOG = logging.getLogger("barlowtf")
# Of ImageNet, as torchvision has them: what encoders from elsewhere were trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SIZE = 224


@dataclass(frozen=True)
class Encoder:
    """An encoder, how its images are prepared, and where it comes from.

    Attributes:
        name: As the user gave it.
        kind: "run", "keras", "saved-model", "torch" or "random".
        label: "trained" or "random".
        sha256: Of its weights, 64 hexadecimal digits; two encoders of equal weights have equal ones.
        architecture: sha256 of what it is without its weights; two encoders that differ in their weights alone have
            equal ones.
        image_shape: Height and width of a view, pixels, and channels.
        mean: Of the normalization, one value or one a channel, of images in [0, 1].
        std: Like `mean`.
        model: Normalized images float32 [n, H, W, C] -> features [n, d].
        run: The run folder that it belongs to, or None.
    """

    name: str
    kind: str
    label: str
    sha256: str
    architecture: str
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    model: keras.Model
    run: Path | None = None

    @property
    def width(self) -> int:
        """Width d of the features."""
        return int(self.model.output_shape[-1])

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its features of an image: weights, architecture, and how the image is prepared."""
        return {
            "sha256": self.sha256,
            "architecture": self.architecture,
            "image_shape": list(self.image_shape),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """Returns uint8 images [n, H, W, C] as the encoder takes them, float32."""
        return augment.normalize(tf.cast(images, tf.float32) / 255.0, self.mean, self.std)

    def features(self, batches: Iterable[Any], count: int | None = None) -> np.ndarray:
        """Returns the features, float32 [M, d], of batches of uint8 views [n, H, W, C], in inference mode.

        Args:
            batches: The views.
            count: M, where it is known; spares memory.
        """
        return extract_features(self.model, (self.normalize(images) for images in batches), count=count)


def model_encoder(
    name: str, kind: str, model: keras.Model, recipe: Recipe | None, *, run: Path | None = None, label: str = "trained"
) -> Encoder:
    """Returns a Keras model as an encoder.

    Args:
        name: As the user gave it.
        kind: See `Encoder`.
        model: Normalized images [N, H, W, C] -> features [N, d].
        recipe: Says how images are prepared; None: the normalization of ImageNet at 224 pixels.
        run: See `Encoder`.
        label: See `Encoder`.

    Raises:
        CheckpointError: The model is no encoder.
        ConfigError: The recipe does not fit it.
    """
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or len(model.output_shape) != 2:
        raise CheckpointError(
            f"{name} is no encoder: it takes {shape} and gives {model.output_shape}. "
            "Expected images [N, H, W, C] and features [N, d]."
        )
    size = evaluated_size(recipe)
    image_shape = (shape[1] or size, shape[2] or size, shape[3])
    require_square(name, image_shape)
    mean, std = normalization_of(name, recipe, shape[3])
    sha256, architecture = weights_sha256(model), architecture_sha256(model)
    return Encoder(name, kind, label, sha256, architecture, image_shape, mean, std, model, run)


def exported_encoder(name: str, model: keras.Model) -> Encoder | None:
    """Returns the encoder in a `.keras` file that barlowtf has exported, its images in [0, 1]; None in another file."""
    if not any(layer.name == "normalization" and isinstance(layer, keras.layers.Rescaling) for layer in model.layers):
        return None
    features = model.output["features"] if isinstance(model.output, dict) else model.output
    encoder = keras.Model(model.input, features, name=model.name)
    height, width, channels = encoder.input_shape[1:]
    shape = (height or _SIZE, width or _SIZE, channels)
    sha256, architecture = weights_sha256(encoder), architecture_sha256(encoder)
    return Encoder(name, "keras", "trained", sha256, architecture, shape, (0.0,), (1.0,), encoder)


def with_weights_of(encoder: Encoder, model: keras.Model) -> Encoder:
    """Returns the same encoder with other weights."""
    return replace(encoder, model=model, sha256=weights_sha256(model), architecture=architecture_sha256(model))


def evaluated_size(recipe: Recipe | None) -> int:
    """Returns height and width of the views of an encoder that takes any size, pixels."""
    return _SIZE if recipe is None else recipe.augment.evaluated_size


def require_square(name: str, image_shape: tuple[int, int, int]) -> None:
    """Raises CheckpointError for an encoder of images (height, width, channels) that are no squares."""
    height, width, _ = image_shape
    if height != width:
        raise CheckpointError(
            f"{name} takes images of {height} x {width} pixels. Expected as wide as high, or of any size: "
            "images are cut to squares."
        )


def normalization_of(name: str, recipe: Recipe | None, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and deviation of images in [0, 1], or raises ConfigError where nothing says them."""
    if recipe is not None:
        if len(recipe.augment.mean) not in (1, channels):
            raise ConfigError(
                f"{name} takes {channels} channels and the recipe normalizes {len(recipe.augment.mean)}. "
                "Give its own recipe with --config."
            )
        return recipe.augment.mean, recipe.augment.std
    if channels != 3:
        raise ConfigError(
            f"Nothing says how the images of {name} ({channels} channels) are normalized: add --config RECIPE."
        )
    _LOG.info("%s has no recipe beside it: images are normalized by mean and deviation of ImageNet.", name)
    return _MEAN, _STD


def architecture_sha256(model: keras.Model) -> str:
    """Returns the sha256 over kind, name, stride, padding, shapes and precision of all layers."""
    digest = hashlib.sha256()
    for layer in model.layers:
        settings = [getattr(layer, name, None) for name in ("strides", "padding", "pool_size")]
        shapes = [tuple(weight.shape) for weight in layer.weights]
        digest.update(f"{type(layer).__name__} {layer.name} {settings} {shapes} {layer.dtype_policy.name}\n".encode())
    return digest.hexdigest()
