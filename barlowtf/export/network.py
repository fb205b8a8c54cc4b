"""What every format exports: images in [0, 1] in, features and classes out, normalization inside, float32."""

from dataclasses import dataclass

import keras
import numpy as np

from barlowtf.data import EIGHT_BITS, Rendering
from barlowtf.export.equalization import can_equalize, equalize
from barlowtf.export.plain import folded_encoder, plain_encoder
from barlowtf.models import EncoderKind
from barlowtf.models.encoder import find_kind

# All activations of the images that a network is equalized on lie in memory at once: 2 GB for a ResNet-50.
_MOST_PIXELS, _LEAST_IMAGES = 1_000_000, 8


@dataclass(frozen=True)
class Parts:
    """What is exported.

    Attributes:
        encoder: Normalized images float32 [N, H, W, C] -> features [N, d]; see `barlowtf.models.make_encoder`.
        head: Features [N, d] -> logits [N, K]; None: features alone.
        projector: Features [N, d] -> embeddings [N, D]; None: no embeddings.
        size: Height and width of a view, pixels.
        mean: Of the normalization of images in [0, 1], one value or one a channel.
        std: Like `mean`.
        class_names: Of the head's K classes; None without head.
        kind: Entry of `barlowtf.models.ENCODERS`, or the user's own, that builds such encoders; None: the one that
            answers to the encoder's name.
        rendering: White and background of encoded images; what is exported takes 8 bits.
    """

    encoder: keras.Model
    head: keras.Model | None
    projector: keras.Model | None
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...] | None
    kind: EncoderKind | None = None
    rendering: Rendering = EIGHT_BITS

    @property
    def family(self) -> EncoderKind | None:
        """The kind of the encoder, None where none is known."""
        return self.kind or find_kind(self.encoder.name)

    @property
    def channels(self) -> int:
        """C."""
        return int(self.encoder.input_shape[-1])


def trainable_network(parts: Parts) -> keras.Model:
    """Returns images float32 [N, H, W, C] in [0, 1] -> outputs, with layers as they were trained.

    Height and width are those that the encoder takes, of any size where it takes any. See `_network` for the outputs.
    """
    return _network(parts, _normalization(parts), plain_encoder(parts.encoder), parts.encoder.input_shape[1:])


def inference_network(parts: Parts) -> keras.Model:
    """Returns images float32 [N, S, S, C] in [0, 1] -> outputs, S = parts.size; fewer operations, for inference alone.

    Where the kind of the encoder has a rule for folding, batch normalizations and the division by the deviation of the
    images are part of the convolutions. That also spares a quantized network a rounding of its input. Other encoders
    stay as they are. See `_network` for the outputs.
    """
    shape = (parts.size, parts.size, parts.channels)
    folded = _folded(parts)
    if folded is None:
        return _network(parts, _normalization(parts), plain_encoder(parts.encoder, image_shape=shape), shape)
    return _network(parts, _centering(parts), folded, shape)


def equalized_network(parts: Parts, views: np.ndarray) -> keras.Model:
    """Returns the same as `inference_network`, with weights that lose less in eight bits; see equalization.py.

    An encoder with layers of other kinds keeps its weights.

    Args:
        parts: What is exported.
        views: Some images, uint8 [M, S, S, C]; of large ones an even selection.
    """
    encoder = _folded(parts)
    if encoder is None or not can_equalize(encoder):
        return inference_network(parts)
    count = max(_LEAST_IMAGES, _MOST_PIXELS // parts.size**2)
    views = views[np.unique(np.linspace(0, len(views) - 1, count).round().astype(int))]
    centering = _centering(parts)
    scale = equalize(encoder, np.asarray(centering(views.astype(np.float32) / 255.0)))
    shape = (parts.size, parts.size, parts.channels)
    return _network(parts, centering, encoder, shape, feature_scale=scale)


def _folded(parts: Parts) -> keras.Model | None:
    """Returns the encoder with normalizations and the images' deviation in its layers; None: no rule for it."""
    kind = parts.family
    if kind is None or kind.folds is None:
        return None
    shape = (parts.size, parts.size, parts.channels)
    return folded_encoder(parts.encoder, kind.folds(parts.encoder), input_std=parts.std, image_shape=shape)


def _normalization(parts: Parts) -> keras.Layer:
    """Subtracts the mean and divides by the deviation."""
    scale = [1.0 / value for value in parts.std]
    offset = [-mean / std for mean, std in zip(parts.mean, parts.std, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="normalization", dtype="float32")


def _centering(parts: Parts) -> keras.Layer:
    """Subtracts the mean; the folded encoder divides by the deviation."""
    return keras.layers.Rescaling(1.0, [-value for value in parts.mean], name="normalization", dtype="float32")


def _network(
    parts: Parts,
    normalization: keras.Layer,
    encoder: keras.Model,
    image_shape: tuple[int | None, ...],
    *,
    feature_scale: np.ndarray | None = None,
) -> keras.Model:
    """Returns a functional model that gives features [N, d]; with a head a dict: features, logits, probabilities.

    The encoder's output is multiplied by `feature_scale` [d]: for the head by way of its weights.
    """
    images = keras.Input(image_shape, dtype="float32", name="images")
    features = encoder(normalization(images))
    head = None if parts.head is None else plain_encoder(parts.head)
    logits = None if head is None else head(features)
    if feature_scale is not None:
        features = keras.layers.Rescaling(feature_scale.tolist(), name="feature_scale", dtype="float32")(features)
        if head is not None:
            kernel, bias = head.get_weights()
            head.set_weights([kernel * feature_scale[:, None], bias])
    if head is None:
        return keras.Model(images, features, name=encoder.name)
    probabilities = keras.layers.Softmax(name="probabilities", dtype="float32")(logits)
    outputs = {"features": features, "logits": logits, "probabilities": probabilities}
    return keras.Model(images, outputs, name=encoder.name)
