"""An encoder with everything needed to feed it."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from barlowtf import augment, data
from barlowtf.config import Recipe
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.models import EncoderKind, extract_features
from barlowtf.models.encoder import find_kind
from barlowtf.models.fingerprint import architecture_sha256, weights_sha256
from barlowtf.records import EncoderFacts

_LOG = logging.getLogger("barlowtf")
# Of ImageNet, as torchvision has them: what encoders from elsewhere were trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SIZE = 224
# A batch of larger images is no batch that fits into memory.
_MOST_SIDE = 4096
# Images that `features` prepares and encodes at a time.
_BATCH = 256


@dataclass(frozen=True)
class Encoder:
    """An encoder, how its images are prepared, and where it comes from.

    Attributes:
        name: As the user gave it.
        kind: "run", "keras", "saved-model", "torch", "random" or "pixels".
        label: "trained", "random" or "pixels".
        sha256: Of its weights, 64 hexadecimal digits; two encoders of equal weights have equal ones.
        architecture: sha256 of what it is without its weights; two encoders that differ in their weights alone have
            equal ones.
        image_shape: Height and width of a view, pixels, and channels.
        mean: Of the normalization, one value or one a channel, of images in [0, 1].
        std: Like `mean`.
        model: Normalized images float32 [n, H, W, C] -> features [n, d].
        run: The run folder that it belongs to, or None.
        built_as: Name of the encoder in the run's recipe; None: only the model's own name is known.
        rendering: Bits, white and background of its images.
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
    built_as: str | None = None
    rendering: data.Rendering = data.EIGHT_BITS

    @property
    def width(self) -> int:
        """Width d of the features."""
        return int(self.model.output_shape[-1])

    @property
    def facts(self) -> EncoderFacts:
        """What a record keeps of it."""
        known = self.model.weights or self.kind == "pixels"
        return EncoderFacts(
            name=self.name,
            kind=self.kind,
            label=self.label,
            sha256=self.sha256,
            architecture=self.architecture,
            image_shape=self.image_shape,
            mean=self.mean,
            std=self.std,
            depth=self.rendering.depth,
            white=self.rendering.white,
            background=self.rendering.background_name,
            feature_width=self.width,
            parameters=int(self.model.count_params()) if known else None,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its features of an image: weights, architecture, and how the image is prepared."""
        return self.facts.identity

    @property
    def family(self) -> EncoderKind | None:
        """The entry of `barlowtf.models.ENCODERS`, or the user's own, that builds such encoders; None: unknown."""
        return find_kind(self.model.name if self.built_as is None else self.built_as)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """Returns uint8 or uint16 images [n, H, W, C] as the model takes them, float32."""
        return augment.normalize(augment.unit_range(images), self.mean, self.std)

    def features(self, images: np.ndarray | tf.Tensor) -> np.ndarray:
        """Returns the features of images of any size, float32 [N, d], in inference mode.

        Images are prepared as the protocols prepare them: converted to the encoder's channels, resized and cut to the
        center view of `image_shape`, rounded to the bits of its recipe, normalized.

        Args:
            images: uint8, uint16 with the white of the recipe, or float in [0, 1], [N, H, W, C].

        Raises:
            ValueError: They are not such images.
            DataError: Their channels cannot become the encoder's.
        """
        images = _as_images(images)
        size, _, channels = self.image_shape
        starts = range(0, int(images.shape[0]), _BATCH)
        parts = (images[at : at + _BATCH] for at in starts)
        batches = (data.center_view(data.decode(part, channels, self.rendering), size) for part in parts)
        return self.features_of(batches, int(images.shape[0]))

    def features_of(self, batches: Iterable[Any], count: int | None = None) -> np.ndarray:
        """Returns the features, float32 [M, d], of batches of prepared views, in inference mode.

        Args:
            batches: Views uint8 or uint16 [n, H, W, C] of the encoder's `image_shape`, see
                `barlowtf.data.center_views`.
            count: M, where it is known; spares memory.

        Raises:
            ValueError: There are not `count` views.
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
        run: The run folder that holds the model and its recipe, or None.
        label: See `Encoder`.

    Raises:
        CheckpointError: The model is not an encoder.
        ConfigError: The recipe does not fit it.
    """
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or len(model.output_shape) != 2:
        raise CheckpointError(
            f"Invalid encoder: {name} maps {shape} to {model.output_shape}, expected images [N, H, W, C] to features "
            "[N, d]."
        )
    size = evaluated_size(recipe)
    image_shape = (shape[1] or size, shape[2] or size, shape[3])
    require_square(name, image_shape)
    mean, std = normalization_of(name, recipe, shape[3])
    sha256, architecture = weights_sha256(model), architecture_sha256(model)
    built_as = recipe.model.encoder if recipe is not None and (run is not None or label == "random") else None
    rendering = data.EIGHT_BITS if recipe is None else data.rendering_of(recipe.data)
    return Encoder(name, kind, label, sha256, architecture, image_shape, mean, std, model, run, built_as, rendering)


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


def pixel_encoder(image_shape: tuple[int, int, int], rendering: data.Rendering = data.EIGHT_BITS) -> Encoder:
    """Returns the control without an encoder: the center view itself, flattened, in [0, 1]."""
    images = keras.Input(image_shape, dtype="float32", name="images")
    model = keras.Model(images, keras.layers.Flatten(name="flatten", dtype="float32")(images), name="pixels")
    sha256, architecture = weights_sha256(model), architecture_sha256(model)
    return Encoder(
        "pixels",
        "pixels",
        "pixels",
        sha256,
        architecture,
        image_shape,
        (0.0,),
        (1.0,),
        model,
        rendering=rendering,
    )


def with_weights_of(encoder: Encoder, model: keras.Model) -> Encoder:
    """Returns the same encoder with other weights."""
    return replace(encoder, model=model, sha256=weights_sha256(model), architecture=architecture_sha256(model))


def evaluated_size(recipe: Recipe | None) -> int:
    """Returns height and width of the views of an encoder that takes any size, pixels."""
    return _SIZE if recipe is None else recipe.augment.evaluated_size


def require_square(name: str, image_shape: tuple[int, int, int]) -> None:
    """Raises CheckpointError for an encoder of images (height, width, channels) that are not square, or are huge."""
    height, width, _ = image_shape
    if max(height, width) > _MOST_SIDE:
        raise CheckpointError(
            f"Invalid encoder: {name} takes images of {height:,} x {width:,} pixels, expected at most {_MOST_SIDE:,} a "
            "side."
        )
    if height != width:
        raise CheckpointError(
            f"Invalid encoder: {name} takes images of {height} x {width} pixels, expected square ones or any size: "
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


def _as_images(images: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Returns images of either kind as `data.decode` takes them; raises ValueError for others."""
    images = tf.convert_to_tensor(images)
    if images.shape.rank != 4 or not (images.dtype.is_floating or images.dtype in (tf.uint8, tf.uint16)):
        raise ValueError(
            f"Invalid images: received {images.dtype.name} {images.shape}, expected uint8 or uint16 [N, H, W, C], or "
            "float [N, H, W, C] in [0, 1]."
        )
    if not images.dtype.is_floating:
        return images
    values = tf.cast(images, tf.float32)
    if tf.size(values) and not (tf.reduce_min(values) >= 0.0 and tf.reduce_max(values) <= 1.0):
        raise ValueError(
            f"Invalid images: received values from {tf.reduce_min(values):.3g} to {tf.reduce_max(values):.3g}, "
            "expected floats in [0, 1], or uint8 or uint16."
        )
    return values
