"""Mixtures of images: view a of each image with view b of its neighbor in the batch."""

import tensorflow as tf


def neighbors(rows: tf.Tensor | int) -> tf.Tensor:
    """Returns the partner of each row, int32 [rows]: 1, 0, 3, 2, and so on.

    Args:
        rows: Number of rows, even.
    """
    return tf.bitwise.bitwise_xor(tf.range(rows), 1)


def mix(view_a: tf.Tensor, view_b: tf.Tensor, alpha: tf.Tensor, *, pairs: int) -> tf.Tensor:
    """Returns alpha * view a + (1 - alpha) * view b of the neighbor.

    Args:
        view_a: Images, float [P * n, H, W, C], one pair of views after the other.
        view_b: Images of the same shape.
        alpha: Share of view a, float32 [], in [0, 1].
        pairs: P, >= 1.

    Returns:
        Images of the shape and data type of `view_a`.

    Raises:
        ValueError: n is odd, so that one image has no neighbor.
        tf.errors.InvalidArgumentError: When running, the same where n was unknown before.
    """
    rows = view_a.shape[0]
    if rows is not None and rows // pairs % 2:
        raise ValueError(
            f"Invalid batch: received {rows // pairs} images on a replica, expected an even number, of which neighbors "
            "are mixed. Set train.batch_size."
        )
    checks = []
    if rows is None:
        rows = tf.shape(view_a)[0]
        checks = [tf.debugging.assert_equal(rows // pairs % 2, 0, "Expected an even number of images on a replica.")]
    with tf.control_dependencies(checks):
        alpha = tf.cast(alpha, view_a.dtype)
        return alpha * view_a + (1.0 - alpha) * tf.gather(view_b, neighbors(rows))
