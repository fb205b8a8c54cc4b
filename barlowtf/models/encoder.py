"""The encoder by its name: normalized images in, features out."""

import re

import keras

from barlowtf.models.layers import Layers
from barlowtf.models.resnet import RESNETS, residual_stages
from barlowtf.models.stems import half_stem, imagenet_stem, small_stem

_STEMS = {"imagenet": imagenet_stem, "small": small_stem, "half": half_stem}
_SMALL_IMAGE = 64


def make_encoder(
    name: str,
    *,
    image_shape: tuple[int | None, int | None, int],
    stem: str = "auto",
    dtype: str | None = None,
    seed: int = 0,
) -> keras.Model:
    """A ResNet v1.5 without its classifier.

    Args:
        name: "resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152" or "resnet200", with an optional
            width: in "resnet50_w2" *every* channel count, the stem's and the features' too, is doubled (d = 4096), in
            "resnet18_w0p5" halved (d = 256). Differs from torchvision's wide_resnet50_2, which widens only the 3×3
            convolutions and keeps d = 2048, because the self-supervised literature scales all.
        image_shape: Height, width and channels of an image. Height and width may be None: any size.
        stem: "imagenet" (7×7 convolution and max pool), "small" (3×3 convolution), "half" (the same at stride 2) or
            "auto": small where the height is given and below 64 pixels.
        dtype: Keras dtype policy, "float32" or "mixed_bfloat16"; None: the global one.
        seed: Seed of the first weights, >= 0.

    Returns:
        Functional model called `name`: float32 [N, H, W, C], normalized -> features, float32 [N, d] whatever the
        policy. A layer's name is its torchvision name with "_" for ".".

    Raises:
        ValueError: Unknown name or stem, a width of 0, or an image shape that is not (H, W, C).

    Source: arXiv:1512.03385; torchvision resnet.py.
    """
    depth, base = _parse(name)
    _check(image_shape)
    height = image_shape[0]
    if stem == "auto":
        stem = "small" if height is not None and height < _SMALL_IMAGE else "imagenet"
    if stem not in _STEMS:
        raise ValueError(f'Received stem "{stem}". Expected "auto", "imagenet", "small" or "half".')
    layers = Layers(dtype, seed)
    images = keras.Input(image_shape, dtype="float32", name="images")
    x = _STEMS[stem](layers, images, base)
    x = residual_stages(layers, x, depth, base)
    # In float32, because a mean of many bfloat16 values loses digits, and features are stored and compared.
    features = keras.layers.GlobalAveragePooling2D(name="avgpool", dtype="float32")(x)
    return keras.Model(images, features, name=name)


def _parse(name: str) -> tuple[int, int]:
    """Depth and channels of the first stage from an encoder's name."""
    match = re.fullmatch(r"resnet(\d+)(?:_w(\d+(?:p\d+)?))?", name)
    if match is None or int(match[1]) not in RESNETS:
        known = ", ".join(f"resnet{depth}" for depth in RESNETS)
        raise ValueError(f'Received encoder "{name}". Expected one of {known}, or one with a width: resnet50_w2.')
    base = round(64 * float((match[2] or "1").replace("p", ".")))
    if base < 1:
        raise ValueError(f'Received encoder "{name}". Expected a width of at least 1/64 (one channel).')
    return int(match[1]), base


def _check(image_shape: tuple[int | None, ...]) -> None:
    sizes = tuple(image_shape)
    known = [size for size in sizes if size is not None]
    if len(sizes) != 3 or sizes[2] is None or any(size < 1 for size in known):
        raise ValueError(
            f"Received image shape {sizes}. Expected (height, width, channels), each >= 1 or the first two None."
        )
