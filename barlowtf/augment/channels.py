"""Changes of single channels, for any number of them: gain, offset, and a channel that is lost.

Color jitter, hue and grayscale need red, green and blue. These are for the rest: multispectral images, fluorescence,
depth, and sensors whose channels drift apart.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from barlowtf.augment.planes import check_images, to_images, to_planes
from barlowtf.config.schema import Augment, View


class ChannelChanges(NamedTuple):
    """What happens to the channels of each example.

    Attributes:
        gain: Factor of each channel, float32 [n, C].
        offset: What is added to each channel, images in [0, 1], float32 [n, C].
        dropped: The channel that is lost, int32 [n] in [0, C); -1: none.
    """

    gain: tf.Tensor
    offset: tf.Tensor
    dropped: tf.Tensor


def channel_draws(channels: int) -> int:
    """Returns how many numbers `draw_channels` takes from each example's stream: lost or not, which, and two each."""
    return 2 + 2 * channels


def draw_channels(uniforms: tf.Tensor, settings: Augment, view: View) -> ChannelChanges:
    """Returns the changes of each example's channels.

    Args:
        uniforms: Random numbers in [0, 1), float32 [n, 2 + 2 C], see `channel_draws`.
        settings: `gain` and `offset`, the strengths.
        view: `channel_drop`, the probability that one channel is lost, each equally likely.

    Raises:
        ValueError: The number of columns is not 2 + 2 C for any C >= 1.
    """
    columns = uniforms.shape[1] if uniforms.shape.rank == 2 else None
    if columns is None or columns < 4 or columns % 2:
        raise ValueError(f"Invalid uniforms: received shape {uniforms.shape}, expected [n, 2 + 2 C].")
    channels = (columns - 2) // 2
    # The product's rounding may reach C: float32 has 24 bits.
    which = tf.minimum(tf.cast(tf.floor(uniforms[:, 1] * channels), tf.int32), channels - 1)
    signed = 2.0 * uniforms[:, 2:] - 1.0
    # Pair after pair, so that a channel's numbers do not depend on how many there are.
    return ChannelChanges(
        gain=1.0 + settings.gain * signed[:, 0::2],
        offset=settings.offset * signed[:, 1::2],
        dropped=tf.where(uniforms[:, 0] < view.channel_drop, which, -1),
    )


def adjust_channels(
    images: tf.Tensor, gain: tf.Tensor | Sequence[float], offset: tf.Tensor | Sequence[float]
) -> tf.Tensor:
    """Returns images * gain + offset, channel by channel, cut to [0, 1].

    Args:
        images: float32 [N, H, W, C] in [0, 1].
        gain: Factors, [N, C] or [C], >= 0; 1 changes nothing.
        offset: What is added, [N, C] or [C]; 0 changes nothing.

    Returns:
        float32 [N, H, W, C] in [0, 1].

    Raises:
        ValueError: `images` is not float32 of rank 4.
    """
    planes = to_planes(check_images(images))
    shape = tf.shape(planes)[:2]
    gain, offset = (tf.broadcast_to(tf.cast(values, tf.float32), shape) for values in (gain, offset))
    return to_images(adjust_planes(planes, gain, offset))


def drop_channel(images: tf.Tensor, channel: tf.Tensor | int, fill: Sequence[float]) -> tf.Tensor:
    """Returns images one channel of which has the same value everywhere.

    Args:
        images: float32 [N, H, W, C].
        channel: The channel that is lost, integer [N] or scalar, in [0, C); -1: none.
        fill: The value that takes its place, one for each channel or one for all.

    Returns:
        float32 [N, H, W, C]; the other channels keep every bit.

    Raises:
        ValueError: `images` is not float32 of rank 4.
    """
    planes = to_planes(check_images(images))
    channel = tf.broadcast_to(tf.cast(channel, tf.int32), tf.shape(planes)[:1])
    return to_images(drop_plane(planes, channel, fill))


def adjust_planes(planes: tf.Tensor, gain: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Returns planes [N, C, H, W] changed like `adjust_channels`; gain and offset are float32 [N, C]."""
    changed = planes * gain[:, :, tf.newaxis, tf.newaxis] + offset[:, :, tf.newaxis, tf.newaxis]
    return tf.clip_by_value(changed, 0.0, 1.0)


def drop_plane(planes: tf.Tensor, channel: tf.Tensor, fill: Sequence[float]) -> tf.Tensor:
    """Returns planes [N, C, H, W] changed like `drop_channel`; `channel` is int32 [N]."""
    lost = channel[:, tf.newaxis] == tf.range(planes.shape[1])  # [N, C]
    return tf.where(lost[:, :, tf.newaxis, tf.newaxis], tf.reshape(tf.constant(fill, tf.float32), [-1, 1, 1]), planes)
