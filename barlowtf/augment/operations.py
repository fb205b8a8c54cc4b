"""The random decisions of one view: which operations an example gets, how strong, in which order."""

from typing import NamedTuple

import tensorflow as tf

from barlowtf.config.schema import Augment, View

# The four operations of the color jitter, by number.
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
# Numbers that `draw_operations` takes from each example's stream: 5 decisions, sigma, 4 strengths, 4 sort keys.
VIEW_DRAWS = 14


class Operations(NamedTuple):
    """What happens to each example of a view.

    Attributes:
        flip: bool [n].
        jitter: bool [n].
        grayscale: bool [n].
        blur: bool [n].
        solarize: bool [n].
        sigma: Standard deviation of the blur, pixels, float32 [n].
        factors: float32 [n, 4]: brightness, contrast and saturation, >= 0, where 1 changes nothing; hue, turns in
            [-0.5, 0.5], where 0 changes nothing.
        order: The jitter's operations in the order in which they run, int32 [n, 4], each row a permutation of 0..3.
    """

    flip: tf.Tensor
    jitter: tf.Tensor
    grayscale: tf.Tensor
    blur: tf.Tensor
    solarize: tf.Tensor
    sigma: tf.Tensor
    factors: tf.Tensor
    order: tf.Tensor


def draw_operations(uniforms: tf.Tensor, settings: Augment, view: View) -> Operations:
    """Returns the decisions of one view for each example.

    Args:
        uniforms: Random numbers in [0, 1), float32 [n, VIEW_DRAWS].
        settings: Strengths.
        view: Probabilities of this view.

    Raises:
        ValueError: `uniforms` has another number of columns.

    Source: facebookresearch/barlowtwins main.py, class Transform; torchvision ColorJitter.get_params.
    """
    if uniforms.shape.rank != 2 or uniforms.shape[1] != VIEW_DRAWS:
        raise ValueError(f"uniforms do not fit. Received shape {uniforms.shape}. Expected [n, {VIEW_DRAWS}].")
    ranges = [
        (max(0.0, 1.0 - settings.brightness), 1.0 + settings.brightness),
        (max(0.0, 1.0 - settings.contrast), 1.0 + settings.contrast),
        (max(0.0, 1.0 - settings.saturation), 1.0 + settings.saturation),
        (-settings.hue, settings.hue),
    ]
    low, high = (tf.constant(ends, tf.float32) for ends in zip(*ranges, strict=True))
    sigma_low, sigma_high = settings.blur_sigma
    # A uniform number below p is an event of probability p: never for p = 0, always for p = 1.
    return Operations(
        flip=uniforms[:, 0] < view.flip,
        jitter=uniforms[:, 1] < view.jitter,
        grayscale=uniforms[:, 2] < view.grayscale,
        blur=uniforms[:, 3] < view.blur,
        solarize=uniforms[:, 4] < view.solarize,
        sigma=sigma_low + (sigma_high - sigma_low) * uniforms[:, 5],
        factors=low + (high - low) * uniforms[:, 6:10],
        order=tf.argsort(uniforms[:, 10:14], axis=1, stable=True),
    )


def blend_slots(operations: Operations) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Returns the jitter's blends in six slots around one hue: slots 0-2 run before the hue, slots 3-5 after it.

    Brightness, contrast and saturation are blends of one form and hue is not. Put each example's blends into the slots
    on their side of its hue, in its order, and leave the others empty: then one hue serves every order.

    Args:
        operations: Of n examples.

    Returns:
        Six pairs (number of the blend, int32 [n]; factor, float32 [n]). An empty slot and an example without jitter
        have factor 1, which changes nothing.
    """
    order, factors = operations.order, operations.factors
    hue_place = tf.argmax(tf.cast(order == HUE, tf.int32), axis=1, output_type=tf.int32)
    slots = []
    for slot in range(6):
        before = slot < 3
        place = slot if before else slot - 2  # After the hue, slot 3 holds place 1 at the earliest.
        filled = hue_place > place if before else hue_place < place
        factor = tf.gather(factors, order[:, place], axis=1, batch_dims=1)
        slots.append((order[:, place], tf.where(filled & operations.jitter, factor, 1.0)))
    return slots
