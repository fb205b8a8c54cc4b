"""An encoder in two parts: the trunk in front of a detector, and the last stage as its head."""

from typing import NamedTuple

import keras

# Large enough that no stage of an encoder is left without a pixel.
_PROBE = 512


class SplitEncoder(NamedTuple):
    """Both parts share their layers, and so their weights, with the encoder."""

    trunk: keras.Model  # normalized images float [N, H, W, C] -> features [N, ⌈H/stride⌉, ⌈W/stride⌉, c]
    head: keras.Model  # features of boxes float [n, s, s, c] -> [n, ⌈s/2⌉, ⌈s/2⌉, d]
    stride: int  # pixels of the image for each pixel of the trunk's features


def split_encoder(encoder: keras.Model, last_of_trunk: str, last_of_head: str) -> SplitEncoder:
    """Returns an encoder's parts, which take images and regions of any size.

    Args:
        encoder: Normalized images [N, H, W, C] -> features [N, d].
        last_of_trunk: Name of the layer with which the trunk ends.
        last_of_head: Name of the layer with which the head ends.

    Raises:
        ValueError: There is no such layer.
    """
    cut = encoder.get_layer(last_of_trunk).output
    trunk = _of_any_size(keras.Model(encoder.input, cut, name="trunk"))
    head = _of_any_size(keras.Model(cut, encoder.get_layer(last_of_head).output, name="head"))
    side = trunk.compute_output_shape((1, _PROBE, _PROBE, encoder.input_shape[-1]))[1]
    return SplitEncoder(trunk, head, _PROBE // side)


def _of_any_size(part: keras.Model) -> keras.Model:
    """Returns the same layers behind an input of any height and width."""
    given = keras.Input((None, None, part.input_shape[-1]), dtype=part.inputs[0].dtype, name=f"{part.name}_input")
    return keras.models.clone_model(part, input_tensors=given, clone_function=lambda layer: layer)
