"""Networks of `keras.applications` as encoders: keras:MobileNetV3Small and others, untrained or of ImageNet's weights.

A network is made by Keras, without its classifier, and then made again layer by layer (`rebuilding.py`).
"""

import inspect
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from barlowtf.downloads import downloads_allowed
from barlowtf.errors import ConfigError
from barlowtf.models.encoder_kind import EncoderKind
from barlowtf.models.folding import find_folds
from barlowtf.models.rebuilding import rebuild

_LOG = logging.getLogger("barlowtf")
PREFIX = "keras:"
# A model's own name has no colon, which TensorFlow forbids.
_PATTERN = r"keras[:_](\w+)"
_PUBLISHED_SIZE = 224


@dataclass(frozen=True)
class Normalization:
    """What images in [0, 1] are normalized by: (images - mean) / std, one value for each of three channels."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# To [-1, 1].
_CENTERED = Normalization((0.5,) * 3, (0.5,) * 3)
# Pixels from 0 to 255 divided by 128, less 1.
_BY_128 = Normalization((128 / 255,) * 3, (128 / 255,) * 3)


@dataclass(frozen=True)
class Family:
    """Networks of one architecture.

    Attributes:
        members: Names in `keras.applications`, the smallest first.
        normalization: What the published weights expect.
    """

    members: tuple[str, ...]
    normalization: Normalization


# Source of the normalizations: each family's `preprocess_input` and inner preprocessing layers in Keras.
FAMILIES = {
    "MobileNetV2": Family(("MobileNetV2",), _CENTERED),
    "MobileNetV3": Family(("MobileNetV3Small", "MobileNetV3Large"), _CENTERED),
    "EfficientNetV2-B": Family(tuple(f"EfficientNetV2B{number}" for number in range(4)), _IMAGENET),
    "EfficientNetV2": Family(("EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L"), _BY_128),
    "ConvNeXt": Family(("ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge"), _IMAGENET),
    "ResNetV2": Family(("ResNet50V2", "ResNet101V2", "ResNet152V2"), _CENTERED),
    "DenseNet": Family(("DenseNet121", "DenseNet169", "DenseNet201"), _IMAGENET),
}
_FAMILY_OF = {member: family for family in FAMILIES.values() for member in family.members}


def expected_normalization(name: str) -> Normalization:
    """Returns the normalization that the published weights of a network were trained with.

    Args:
        name: "keras:MobileNetV3Small", with or without "keras:".

    Raises:
        ValueError: There is no such network.
    """
    return _FAMILY_OF[_network_name(name)].normalization


def build_application(
    name: str, *, image_shape: tuple[int | None, int | None, int], stem: str, dtype: str | None, seed: int
) -> keras.Model:
    """A network of `keras.applications` without its classifier, untrained; see `barlowtf.models.make_encoder`.

    Differs from Keras' own: batch normalizations are barlowtf's, whose statistics are those of the global batch (their
    epsilon is kept; the running statistics follow with momentum 0.9, because 0.99 and 0.999 are for runs of many
    thousands of steps); dropout and stochastic depth are left out, whose draws would differ between the two passes of a
    micro-batch; there is no preprocessing inside. Names of layers with weights are kept.

    Raises:
        ValueError: There is no such network, or the images are too small for it.
    """
    network = _network_name(name)
    original = _make_original(network, (None, None, 3), weights=None)
    try:
        return rebuild(original, name=f"keras_{network}", image_shape=image_shape, dtype=dtype, seed=seed)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"Invalid image shape: received {image_shape} for the encoder {PREFIX}{network}, expected larger images: "
            f"{reason}"
        ) from error


def imagenet_weights(name: str) -> keras.Model:
    """Returns a network with the weights that Keras' makers trained on ImageNet, without its classifier.

    Keras takes the file from its folder (`~/.keras/models`, or `models` in the folder that KERAS_HOME names), and
    fetches it where it is not there. Inside `barlowtf.downloads.without_downloads` the weights are random.

    Args:
        name: "keras:MobileNetV3Small", with or without "keras:".

    Returns:
        float32 images of any size, [N, H, W, 3], normalized by `expected_normalization(name)` -> features [N, d], equal
        to `make_encoder(name, image_shape=(None, None, 3))` but for the weights.

    Raises:
        ValueError: There is no such network.
        ConfigError: The file is neither there nor can be fetched, or it cannot be read.
    """
    network = _network_name(name)
    weights = "imagenet" if downloads_allowed() else None
    if weights is None:
        _LOG.info("The weights of %s are not read in a dry run: they might have to be downloaded.", name)
    try:
        with _silence():
            original = _make_original(network, (_PUBLISHED_SIZE, _PUBLISHED_SIZE, 3), weights=weights)
    # A failed download is an Exception of no kind in Keras, and a damaged file one of several.
    except Exception as error:
        raise ConfigError(_explain_missing(network, error)) from error
    shape = (None, None, 3)
    return rebuild(original, name=f"keras_{network}", image_shape=shape, dtype="float32", seed=0, copy_weights=True)


def _make_original(network: str, image_shape: tuple[int | None, ...], *, weights: str | None) -> keras.Model:
    make = getattr(keras.applications, network)
    options: dict[str, Any] = {}
    if "include_preprocessing" in inspect.signature(make).parameters:
        options["include_preprocessing"] = False
    with warnings.catch_warnings():
        # Of sizes and channels that the classifier is not made for.
        warnings.simplefilter("ignore", UserWarning)
        return make(include_top=False, weights=weights, input_shape=image_shape, pooling="avg", **options)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps Keras from writing about its downloads to standard output, where results go."""
    if not keras.config.is_interactive_logging_enabled():
        yield
        return
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        keras.config.enable_interactive_logging()


def _explain_missing(network: str, error: Exception) -> str:
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
    reason = (str(error).strip() or repr(error)).splitlines()[0]
    address = re.search(r"https?://[^\s:]+", reason)
    if address is None:
        return f"Cannot read the ImageNet weights of {network} in {folder}: {reason}. Delete the file to fetch it anew."
    file = folder / address[0].rpartition("/")[2]
    return (
        f"Cannot get the ImageNet weights of {network}: there is no valid {file}, and {reason}. Fetch that address on "
        "a machine with a network and put the file there."
    )


def _network_name(name: str) -> str:
    """Returns the name in `keras.applications`; raises ValueError for an unknown one."""
    match = re.fullmatch(_PATTERN, name)
    network = match[1] if match else name
    if network not in _FAMILY_OF:
        known = ", ".join(f"{PREFIX}{member}" for member in _FAMILY_OF)
        raise ValueError(f'Invalid encoder: received "{name}", expected one of {known}.')
    return network


KERAS_APPLICATIONS = EncoderKind(
    _PATTERN, build_application, find_folds, members=tuple(f"{PREFIX}{member}" for member in _FAMILY_OF)
)
