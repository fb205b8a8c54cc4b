"""The device's part of the augmentation: two crops of each image become two normalized views.

Numbers of an example and view, in the order in which its stream gives them: operations, placement, orientation,
channels. Each part has its place whatever the others are, so switching one on changes no other draw.
"""

import functools
import logging
from typing import Any, NamedTuple, Self

import keras
import tensorflow as tf

from barlowtf.augment.affine import PLACEMENT_DRAWS, Placement, draw_placement, move_planes
from barlowtf.augment.blur import blur_planes
from barlowtf.augment.channels import ChannelChanges, adjust_planes, channel_draws, draw_channels, drop_plane
from barlowtf.augment.color import blend, gray_plane, shift_hue
from barlowtf.augment.draws import VIEW_A, VIEW_B, local_streams, uniforms_of_streams
from barlowtf.augment.normalize import scale_and_offset, unit_range
from barlowtf.augment.operations import CONTRAST, SATURATION, VIEW_DRAWS, Operations, blend_slots, draw_operations
from barlowtf.augment.orientation import ORIENTATION_DRAWS, Orientation, draw_orientation, turn_planes
from barlowtf.augment.planes import to_images, to_planes
from barlowtf.config.schema import Augment, View

_LOGGER = logging.getLogger("barlowtf")
# Places of the parts among an example's numbers.
_PLACEMENT = slice(VIEW_DRAWS, VIEW_DRAWS + PLACEMENT_DRAWS)
_ORIENTATION = slice(_PLACEMENT.stop, _PLACEMENT.stop + ORIENTATION_DRAWS)
_CHANNELS = _ORIENTATION.stop


@keras.saving.register_keras_serializable(package="barlowtf")
class TwoViews(keras.layers.Layer):
    """Moves, flips, turns, recolors, blurs, solarizes and normalizes the crops of each image.

    Every decision is a function of the example's seed and the view, never of the batch. All operations run in float32
    whatever the dtype policy. Operations of probability or strength 0 are not built. Without three channels saturation,
    hue and grayscale are not built either, and a warning says so once.

    Attributes:
        settings: Strengths and probabilities.
        channels: Number of channels, C.

    Source: facebookresearch/barlowtwins main.py, class Transform.
    """

    def __init__(self, settings: Augment, channels: int, **kwargs: Any) -> None:
        """Builds the layer.

        Args:
            settings: Strengths and probabilities.
            channels: Number of channels of the crops, C >= 1.
            **kwargs: `name` and other arguments of `keras.layers.Layer`.

        Raises:
            ValueError: `channels` is below 1, or 1 where a channel may be lost; `mean` and `std` have neither 1 nor C
                values.
        """
        if channels < 1:
            raise ValueError(f"channels does not fit. Received {channels}. Expected at least 1.")
        if channels == 1 and (settings.view_a.channel_drop > 0 or settings.view_b.channel_drop > 0):
            raise ValueError("Invalid channel_drop: received more than 0, expected 0 for images of 1 channel.")
        super().__init__(**{"trainable": False, **kwargs, "dtype": "float32"})
        self.settings = settings
        self.channels = channels
        scale_and_offset(settings.mean, settings.std, channels)  # Raises now, not at the first batch.
        self._in_use = settings if channels == 3 else _without_color(settings)
        if self._in_use != settings:
            _say_color_is_off()

    def call(self, inputs: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        """Returns the views.

        Args:
            inputs: Crops of view a, uint8 or uint16 [n, S, S, C]; crops of view b, the same; seeds of the examples,
                int32 [n, 2]; where there are local views, their crops, of the same type, [n, K, s, s, C].

        Returns:
            View a and view b, normalized float32 [n, S, S, C], and local views, [K * n, s, s, C], the first of all
            examples first. Local views have the probabilities of view b.
        """
        crops_a, crops_b, seeds, *local = inputs
        return (
            self._view(crops_a, seeds, [VIEW_A], self._in_use.view_a),
            self._view(crops_b, seeds, [VIEW_B], self._in_use.view_b),
            *(self._local_views(crops, seeds) for crops in local),
        )

    def compute_output_spec(self, inputs: tuple[Any, ...]) -> tuple[keras.KerasTensor, ...]:
        """Returns shape and data type of the views, for a functional model."""
        crops_a, crops_b, _, *local = inputs
        shapes = [crops_a.shape, crops_b.shape]
        for examples, count, *image in (crops.shape for crops in local):
            shapes.append((None if examples is None else examples * count, *image))
        return tuple(keras.KerasTensor(shape, dtype="float32") for shape in shapes)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the layer."""
        settings = self.settings.model_dump(mode="json")
        return {**super().get_config(), "settings": settings, "channels": self.channels}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Returns the layer of a `get_config`."""
        # JSON has lists where the recipe has tuples, so the types are not strict here.
        settings = Augment.model_validate(config["settings"], strict=False)
        return cls(**{**config, "settings": settings})

    def _local_views(self, crops: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Returns local views of crops [n, K, s, s, C]: [K * n, s, s, C]."""
        count, *image = crops.shape[1:]
        crops = tf.reshape(tf.transpose(crops, [1, 0, 2, 3, 4]), [-1, *image])
        return self._view(crops, seeds, [stream for _, stream in local_streams(count)], self._in_use.view_b)

    def _view(self, crops: tf.Tensor, seeds: tf.Tensor, streams: list[int], view: View) -> tf.Tensor:
        """Returns views of crops [m * n, S, S, C], whose numbers come from m streams of the n examples."""
        draws = self._draw(seeds, streams, view)
        planes = unit_range(to_planes(crops))  # [m * n, C, S, S]
        planes = apply_operations(planes, draws, self._in_use, view)
        scale, offset = scale_and_offset(self.settings.mean, self.settings.std, self.channels)
        return to_images(planes * tf.reshape(scale, [-1, 1, 1]) + tf.reshape(offset, [-1, 1, 1]))

    def _draw(self, seeds: tf.Tensor, streams: list[int], view: View) -> "ViewDraws":
        """Returns the decisions of the parts that are in use; the others draw nothing."""
        settings, ends = self._in_use, _CHANNELS + channel_draws(self.channels)
        channels = settings.gain > 0 or settings.offset > 0 or view.channel_drop > 0
        oriented = view.vertical_flip > 0 or view.turn > 0
        moved = settings.rotation > 0 or settings.slant > 0 or settings.shift > 0
        last = ends if channels else _ORIENTATION.stop if oriented else _PLACEMENT.stop if moved else VIEW_DRAWS
        numbers = uniforms_of_streams(seeds, streams, last)
        numbers = tf.reshape(tf.transpose(numbers, [1, 0, 2]), [-1, last])  # [n, m, last] -> [m * n, last]
        return ViewDraws(
            draw_operations(numbers[:, :VIEW_DRAWS], settings, view),
            draw_placement(numbers[:, _PLACEMENT], settings) if moved else None,
            draw_orientation(numbers[:, _ORIENTATION], view) if oriented else None,
            draw_channels(numbers[:, _CHANNELS:], settings, view) if channels else None,
        )


class ViewDraws(NamedTuple):
    """The decisions for the n examples of a view; None: that part is not in use."""

    operations: Operations
    placement: Placement | None = None
    orientation: Orientation | None = None
    channels: ChannelChanges | None = None


def apply_operations(planes: tf.Tensor, draws: ViewDraws, settings: Augment, view: View) -> tf.Tensor:
    """Returns one view before its normalization; examples that an operation does not touch stay equal bit for bit.

    Args:
        planes: float32 [n, C, S, S] in [0, 1].
        draws: Decisions for the n examples.
        settings: Strengths; without hue it is not in the graph. Saturation and hue must be 0 unless C = 3.
        view: Probabilities; an operation of probability 0 is not in the graph. Grayscale must be 0 unless C = 3.

    Returns:
        float32 [n, C, S, S] in [0, 1].
    """
    operations = draws.operations
    if draws.placement is not None:
        planes = move_planes(planes, draws.placement, settings.border)
    if view.flip > 0:
        planes = _where(operations.flip, tf.reverse(planes, axis=[3]), planes)
    if draws.orientation is not None:
        planes = _orient(planes, draws.orientation, view)
    if view.jitter > 0:
        planes = _jitter(planes, operations, with_hue=settings.hue > 0)
    if draws.channels is not None and (settings.gain > 0 or settings.offset > 0):
        planes = adjust_planes(planes, draws.channels.gain, draws.channels.offset)
    if view.grayscale > 0:
        planes = _where(operations.grayscale, gray_plane(planes), planes)
    if view.blur > 0:
        planes = _where(operations.blur, blur_planes(planes, operations.sigma), planes)
    if view.solarize > 0:
        inverted = _column(operations.solarize) & (planes >= settings.solarize_threshold)
        planes = tf.where(inverted, 1.0 - planes, planes)
    if draws.channels is not None and view.channel_drop > 0:
        # Last, and by the data set's mean: 0 after the normalization, whatever came before.
        planes = drop_plane(planes, draws.channels.dropped, settings.mean)
    return planes


def _orient(planes: tf.Tensor, orientation: Orientation, view: View) -> tf.Tensor:
    if view.vertical_flip > 0:
        planes = _where(orientation.vertical_flip, tf.reverse(planes, axis=[2]), planes)
    return turn_planes(planes, orientation.quarters) if view.turn > 0 else planes


def _jitter(planes: tf.Tensor, operations: Operations, *, with_hue: bool) -> tf.Tensor:
    slots = blend_slots(operations)
    for number, factor in slots[:3]:
        planes = _blend(planes, number, factor)
    if with_hue:
        turned = shift_hue(planes, _column(operations.factors[:, 3]))
        planes = _where(operations.jitter, turned, planes)
    for number, factor in slots[3:]:
        planes = _blend(planes, number, factor)
    return planes


def _blend(planes: tf.Tensor, number: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Returns planes after brightness, contrast or saturation, whichever `number` [n] says for each example."""
    gray = gray_plane(planes)  # [n, 1, S, S]
    rest = 1.0 - factor
    of_mean = tf.where(number == CONTRAST, rest, 0.0) * tf.reduce_mean(gray, axis=[1, 2, 3])
    of_gray = tf.where(number == SATURATION, rest, 0.0)
    return blend(planes, _column(factor), _column(of_gray) * gray + _column(of_mean))


def _where(selected: tf.Tensor, changed: tf.Tensor, planes: tf.Tensor) -> tf.Tensor:
    return tf.where(_column(selected), changed, planes)


def _column(values: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, [-1, 1, 1, 1])


def _without_color(settings: Augment) -> Augment:
    """Returns the settings without the operations that need three channels."""
    views = {name: getattr(settings, name).model_copy(update={"grayscale": 0.0}) for name in ("view_a", "view_b")}
    return settings.model_copy(update={"saturation": 0.0, "hue": 0.0, **views})


@functools.cache
def _say_color_is_off() -> None:
    """Warns, the first time in this process."""
    _LOGGER.warning("Saturation, hue and grayscale are off: they need images of 3 channels.")
