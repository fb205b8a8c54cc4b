"""The encoder by its name: normalized images in, features out."""

import logging
import re
from typing import Any

import keras

from barlowtf.doors import is_own, load_own
from barlowtf.errors import ConfigError
from barlowtf.models.encoder_kind import EncoderKind
from barlowtf.tables import ENCODERS

_LOG = logging.getLogger("barlowtf")


def make_encoder(
    name: str,
    *,
    image_shape: tuple[int | None, int | None, int],
    stem: str = "auto",
    zero_residual: bool = True,
    dtype: str | None = None,
    seed: int = 0,
) -> keras.Model:
    """An encoder without its classifier, untrained.

    Args:
        name: A name that an entry of `barlowtf.models.ENCODERS` answers to, or a user's own encoder,
            "package.module:name" or "file.py:name": a function `make(*, image_shape, dtype, seed) -> keras.Model`, or
            an `EncoderKind`. docs/encoders.md says what there is. ResNets: "resnet10", "resnet18", "resnet34",
            "resnet50", "resnet101", "resnet152" or "resnet200", with an optional width: in "resnet50_w2" *every*
            channel count, the stem's and the features' too, is doubled (d = 4096), in "resnet18_w0p5" halved (d = 256).
            Differs from torchvision's wide_resnet50_2, which widens only the 3×3 convolutions and keeps d = 2048,
            because the self-supervised literature scales all.
        image_shape: Height, width and channels of an image. Height and width may be None: any size.
        stem: One of the kind's `stems`, or "auto". Of a ResNet: "imagenet" (7×7 convolution and max pool), "small" (3×3
            convolution), "small_padded" (the same behind two zeros on every side, as in solo-learn), "half" (small at
            stride 2); "auto" is small where the height is given and below 64 pixels. Encoders without stems take "auto"
            alone.
        zero_residual: Whether the residual branches of a ResNet start at zero, as in the authors' code. False: as in
            torchvision by default. Other encoders start as they do, and take True alone.
        dtype: Keras dtype policy, "float32" or "mixed_bfloat16"; None: the global one.
        seed: Seed of the first weights, >= 0.

    Returns:
        Functional model: float32 [N, H, W, C], normalized -> features [N, d]. A ResNet is called `name`, its features
        are float32 whatever the policy, and a layer's name is its torchvision name with "_" for ".".

    Raises:
        ValueError: Unknown name or stem, a width of 0, a start that the encoder does not have, or an image shape that
            is not (H, W, C) or that it does not take.
        ConfigError: The user's encoder cannot be imported, or is not an encoder.

    Source: arXiv:1512.03385; torchvision resnet.py.
    """
    _check(image_shape)
    kind = open_kind(name)
    require_stem(name, kind, stem)
    require_start(name, kind, zero_residual)
    start = {} if zero_residual else {"zero_residual": False}
    model = kind.build(name, image_shape=tuple(image_shape), stem=stem, dtype=dtype, seed=seed, **start)
    return _functional(name, model)


def require_stem(name: str, kind: EncoderKind, stem: str) -> None:
    """Raises ValueError where an encoder does not have first layers of this name, see `make_encoder`."""
    if stem == "auto" or stem in kind.stems:
        return
    if not kind.stems:
        raise ValueError(
            f'Invalid stem: received "{stem}" for the encoder {name}, expected "auto": it has first layers of its own.'
        )
    expected = ", ".join(f'"{known}"' for known in kind.stems[:-1])
    raise ValueError(f'Invalid stem: received "{stem}", expected "auto", {expected} or "{kind.stems[-1]}".')


def require_start(name: str, kind: EncoderKind, zero_residual: bool) -> None:
    """Raises ValueError where an encoder has no residual branches that start at zero, see `make_encoder`."""
    if not zero_residual and not kind.zero_residual:
        raise ValueError(
            f"Invalid zero_residual: received false for the encoder {name}, expected true: it has no residual branches "
            "that start at zero."
        )


def open_kind(name: str) -> EncoderKind:
    """Returns the kind of encoder that answers to a name, see `make_encoder`.

    Raises:
        ValueError: There is none.
        ConfigError: The user's encoder cannot be imported.
    """
    for kind in ENCODERS.values():
        if re.fullmatch(kind.pattern, name):
            return kind
    if not is_own(name):
        known = "; ".join(ENCODERS.summaries.values())
        raise ValueError(
            f'Invalid encoder: received "{name}", expected {known}; or one of your own: "package.module:name" or '
            '"file.py:name".'
        )
    entry = load_own(name, ENCODERS.kind)
    if isinstance(entry, EncoderKind):
        return entry
    if not callable(entry):
        raise ConfigError(
            f"Invalid encoder: received {name}, which is of type {type(entry).__name__}, expected a function "
            "make(*, image_shape, dtype, seed) -> keras.Model, or an EncoderKind."
        )
    return EncoderKind(re.escape(name), _builder_of(entry))


def find_kind(name: str) -> EncoderKind | None:
    """Returns the same as `open_kind`, None where nothing answers to the name or it cannot be imported now."""
    try:
        return open_kind(name)
    except ValueError:
        return None
    except ConfigError as error:
        _LOG.info("%s Its layers are taken as they are.", error)
        return None


def _builder_of(make: Any) -> Any:
    def build(name: str, *, image_shape: tuple[Any, ...], stem: str, dtype: str | None, seed: int) -> keras.Model:
        return make(image_shape=image_shape, dtype=dtype, seed=seed)

    return build


def _functional(name: str, model: Any) -> keras.Model:
    """Returns a model whose layers can be walked through; raises ConfigError where it is not an encoder."""
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs[0], name=model.name)
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not isinstance(model, keras.Model) or not inputs or not outputs:
        raise ConfigError(
            f"Invalid encoder: {name} returned {type(model).__name__}, expected a functional or a built Sequential "
            "keras.Model. Wrap a subclassed one: keras.Model(images, layer(images)) with images = keras.Input(...)."
        )
    shapes = [tuple(tensor.shape) for tensor in (*inputs, *outputs)]
    if len(shapes) != 2 or len(shapes[0]) != 4 or len(shapes[1]) != 2 or shapes[1][1] is None:
        raise ConfigError(
            f"Invalid encoder: {name} maps {shapes[0]} to {', '.join(map(str, shapes[1:]))}, expected images "
            "[N, H, W, C] to features [N, d]."
        )
    return model


def _check(image_shape: tuple[int | None, ...]) -> None:
    sizes = tuple(image_shape)
    known = [size for size in sizes if size is not None]
    if len(sizes) != 3 or sizes[2] is None or any(size < 1 for size in known):
        raise ValueError(
            f"Invalid image shape: received {sizes}, expected (height, width, channels), each >= 1 or the first two "
            "None."
        )
