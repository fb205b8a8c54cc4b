"""From what a user gives as --encoder to an encoder with everything needed to feed it."""

import hashlib
import logging
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from barlowtf import augment, runs
from barlowtf.config import Recipe, load_recipe
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.experiment.parts import make_recipe_encoder
from barlowtf.models import extract_features

_LOG = logging.getLogger("barlowtf")
FORMS = "a run folder, a .keras file, a SavedModel folder, a .pth or .safetensors file, or random"
# Of ImageNet, as torchvision has them: what encoders from elsewhere were trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SIZE = 224


@dataclass(frozen=True)
class OpenedEncoder:
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


def open_encoder(
    spec: str, *, config: str | None = None, like: OpenedEncoder | None = None, seed: int = 0
) -> OpenedEncoder:
    """Returns the encoder that a text names.

    Args:
        spec: A run folder, a `.keras` file, a SavedModel folder, a `.pth` or `.safetensors` file with torchvision's
            names, or "random": the untrained encoder of a recipe.
        config: Recipe, by name or file, of an encoder that has none beside it, and of "random": it says how images are
            prepared. None: the normalization of ImageNet.
        like: Encoder whose architecture and preparation "random" takes where `config` is None.
        seed: Seed of the weights of "random", >= 0.

    Returns:
        OpenedEncoder.

    Raises:
        CheckpointError: There is no such encoder, its run is unfinished, or it cannot be read.
        ConfigError: Nothing says what "random" is.
        ConversionError: The tensors of a PyTorch file do not fit.
    """
    if spec == "random":
        return _random(config, like, seed)
    path = Path(spec)
    if not path.exists():
        raise CheckpointError(f"No encoder at {path}. Expected {FORMS}.")
    recipe = _recipe_beside(path)
    if recipe is None and config is not None:
        recipe = load_recipe(config)
    if path.is_dir() and (path / "recipe.toml").exists():
        encoder = runs.RunFolder(path).encoder
        if not encoder.exists():
            status = runs.RunFolder(path).read_info().get("status", "unfinished")
            raise CheckpointError(
                f"The run {path} has no encoder.keras yet: it is {status}. Resume it with the command that began it."
            )
        return _opened(spec, "run", load_keras(encoder), recipe, run=path)
    if path.is_dir() and (path / "saved_model.pb").exists():
        return _saved_model(spec, path, recipe)
    if path.suffix == ".keras":
        run = path.parent if (path.parent / "recipe.toml").exists() else None
        return _opened(spec, "keras", load_keras(path), recipe, run=run)
    if path.suffix in (".pth", ".pt", ".safetensors"):
        from barlowtf.convert import make_encoder_of

        return _opened(spec, "torch", make_encoder_of(path), recipe)
    raise CheckpointError(f"{path} is no encoder. Expected {FORMS}.")


def load_keras(path: Path) -> keras.Model:
    """Returns the model of a `.keras` file, or raises CheckpointError."""
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise CheckpointError(f"Cannot read {path}: {reason}") from error


def weights_sha256(model: keras.Model) -> str:
    """Returns the sha256 over name, shape and values of all weights and running statistics."""
    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        # Without the model's own name in front, which says nothing about its function.
        name = "/".join(weight.path.split("/")[-2:])
        digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def architecture_sha256(model: keras.Model) -> str:
    """Returns the sha256 over kind, name, stride, padding, shapes and precision of all layers."""
    digest = hashlib.sha256()
    for layer in model.layers:
        settings = [getattr(layer, name, None) for name in ("strides", "padding", "pool_size")]
        shapes = [tuple(weight.shape) for weight in layer.weights]
        digest.update(f"{type(layer).__name__} {layer.name} {settings} {shapes} {layer.dtype_policy.name}\n".encode())
    return digest.hexdigest()


def _recipe_beside(path: Path) -> Recipe | None:
    file = (path if path.is_dir() else path.parent) / "recipe.toml"
    return load_recipe(file) if file.exists() else None


def _random(config: str | None, like: OpenedEncoder | None, seed: int) -> OpenedEncoder:
    recipe = require_random(config, like)
    size = recipe.augment.evaluated_size if config is not None or like is None else like.image_shape[0]
    # In the precision of the encoder that it stands beside.
    model = make_recipe_encoder(recipe, size, dtype=recipe.train.precision, seed=seed)
    return _opened("random", "random", model, recipe, label="random")


def require_random(config: str | None, like: OpenedEncoder | None) -> Recipe:
    """Returns the recipe of the untrained encoder, see `open_encoder`.

    Raises:
        ConfigError: Nothing says which one it is.
    """
    if config is not None:
        return load_recipe(config)
    if like is None:
        raise ConfigError("--encoder random needs to know which one: add --config RECIPE, or a second --encoder RUN.")
    recipe = _recipe_beside(Path(like.name))
    if recipe is None:
        raise ConfigError(f"{like.name} has no recipe.toml that says what its untrained encoder is: add --config.")
    return recipe


def _opened(
    name: str, kind: str, model: keras.Model, recipe: Recipe | None, *, run: Path | None = None, label: str = "trained"
) -> OpenedEncoder:
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or len(model.output_shape) != 2:
        raise CheckpointError(
            f"{name} is no encoder: it takes {shape} and gives {model.output_shape}. "
            "Expected images [N, H, W, C] and features [N, d]."
        )
    size = _SIZE if recipe is None else recipe.augment.evaluated_size
    image_shape = (shape[1] or size, shape[2] or size, shape[3])
    _require_square(name, image_shape)
    mean, std = _normalization(name, recipe, shape[3])
    sha256, architecture = weights_sha256(model), architecture_sha256(model)
    return OpenedEncoder(name, kind, label, sha256, architecture, image_shape, mean, std, model, run)


def _require_square(name: str, image_shape: tuple[int, int, int]) -> None:
    height, width, _ = image_shape
    if height != width:
        raise CheckpointError(
            f"{name} takes images of {height} x {width} pixels. Expected as wide as high, or of any size: "
            "images are cut to squares."
        )


def _normalization(name: str, recipe: Recipe | None, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
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


def _saved_model(name: str, path: Path, recipe: Recipe | None) -> OpenedEncoder:
    """Returns a SavedModel as a frozen encoder.

    Signature "float_images", of barlowtf's own exports: images in [0, 1], the normalization inside. Otherwise the
    default signature, which must take normalized float images and return features.
    """
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise CheckpointError(f"Cannot read the SavedModel {path}: {str(error).splitlines()[0]}") from error
    own = "float_images" in loaded.signatures
    signature = loaded.signatures.get("float_images") or loaded.signatures.get("serving_default")
    inputs = {} if signature is None else signature.structured_input_signature[1]
    argument, images = next(iter(inputs.items()), (None, None))
    if len(inputs) != 1 or images.dtype != tf.float32 or images.shape.rank != 4:
        raise CheckpointError(
            f"{path} has no signature that takes float images alone. Received {sorted(loaded.signatures)}. "
            'Expected "float_images", or "serving_default" of one float32 [N, H, W, C].'
        )
    outputs = signature.structured_outputs
    key = "features" if "features" in outputs else next(iter(outputs))
    rows, *widths = outputs[key].shape.as_list() if outputs[key].shape.rank is not None else [None]
    if images.shape[0] is not None or rows is not None or len(widths) != 1 or widths[0] is None:
        raise CheckpointError(
            f"{path} is no encoder: {key} has the shape {outputs[key].shape} for images {images.shape}. "
            "Expected features [N, d] for any number N of images."
        )
    size = _SIZE if recipe is None else recipe.augment.evaluated_size
    shape = tuple(images.shape[1:])
    shape = (shape[0] or size, shape[1] or size, shape[2])
    _require_square(name, shape)
    model = _Signature(loaded, signature, argument, key, (None, *shape))
    model.trainable = False
    mean, std = ((0.0,), (1.0,)) if own else _normalization(name, recipe, shape[2])
    sha256 = _files_sha256(path)
    # What lies behind a signature cannot be told from its weights.
    return OpenedEncoder(name, "saved-model", "trained", sha256, sha256, shape, mean, std, model)


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
