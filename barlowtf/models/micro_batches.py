"""The encoder on a few images at a time, under a loss of the whole batch.

Letters: N images in the batch, m in a micro-batch, k = N / m; w the encoder's weights; y_a, y_b the representations of
both views, [N, d]; L the loss, which sees the images through y_a and y_b alone. Then dL/dw = Σ_i (∂y_i/∂w)ᵀ dL/dy_i
over the micro-batches i, and three steps give the gradient of the whole batch in the memory of a micro-batch:

1. `represent`: y_a and y_b, one micro-batch after the other; activations are dropped.
2. The caller: L, dL/dy_a and dL/dy_b on the whole batch, and the gradients of what lies behind y.
3. `encoder_gradients`: every micro-batch again, dL/dy_i taken back through the encoder, summed.

The price is one more forward pass of augmentation and encoder. The sum is exact, but y_i knows micro-batch i alone:
batch statistics in the encoder are those of m images of one view. Where they are frozen, nothing differs.

Source: arXiv:2101.06983 (gradient caching).
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from barlowtf.models.gradient_tape import gradient_tape

# Tensors with one row an image, cut along the first axis: each [k, m, ...].
Stacks = tuple[tf.Tensor, ...]
# One micro-batch of the data, each [m, ...] -> view a and view b, float32 [m, H, W, C]; the same whenever called again.
MakeViews = Callable[[tuple[tf.Tensor, ...]], tuple[tf.Tensor, tf.Tensor]]


class Represented(NamedTuple):
    """Representations of the whole batch, float [N, d], and whether all images of a view are finite, bool []."""

    y_a: tf.Tensor
    y_b: tf.Tensor
    finite_a: tf.Tensor
    finite_b: tf.Tensor


def cut(tensors: tuple[tf.Tensor, ...], size: int) -> Stacks:
    """Tensors of one batch, cut into micro-batches: each [N, ...] -> [N / m, m, ...].

    Args:
        tensors: Any dtypes, equal N.
        size: m, >= 1.

    Raises:
        ValueError: N is not a multiple of m.
        tf.errors.InvalidArgumentError: When running, the same where N was unknown before.
    """
    for count in {tensor.shape[0] for tensor in tensors} - {None}:
        if count % size:
            raise ValueError(f"Invalid micro_batch: received {size}, expected a divisor of the batch of {count}.")
    return tuple(tf.reshape(tensor, tf.concat([[-1, size], tf.shape(tensor)[1:]], axis=0)) for tensor in tensors)


def represent(encoder: keras.Model, make_views: MakeViews, data: Stacks, *, training: bool = True) -> Represented:
    """Representations of both views, micro-batch after micro-batch, view a before view b.

    The encoder's own state, running statistics above all, is left as it was: it moves when `encoder_gradients` runs.

    Args:
        encoder: Functional model, images float32 [m, H, W, C] -> features [m, d].
        make_views: See `MakeViews`.
        data: See `cut`.
        training: Whether the encoder is in training mode.

    Returns:
        Represented, without a gradient to the encoder.
    """
    count = tf.shape(data[0])[0]
    state = encoder.non_trainable_variables
    before = [tf.convert_to_tensor(variable) for variable in state]

    def body(index: tf.Tensor, rows_a: tf.TensorArray, rows_b: tf.TensorArray, finite: tf.Tensor) -> tuple:
        view_a, view_b = make_views(_micro_batch(data, index))
        rows_a = rows_a.write(index, encoder(view_a, training=training))
        rows_b = rows_b.write(index, encoder(view_b, training=training))
        return index + 1, rows_a, rows_b, finite & tf.stack([_all_finite(view_a), _all_finite(view_b)])

    width, dtype = encoder.output.shape[1], encoder.output.dtype
    rows = [tf.TensorArray(dtype, count, element_shape=[None, width]) for _ in range(2)]
    _, rows_a, rows_b, finite = tf.while_loop(
        lambda index, *_: index < count, body, (0, *rows, tf.constant([True, True])), parallel_iterations=1
    )
    for variable, value in zip(state, before, strict=True):
        variable.assign(value)
    # With N where it is known: the loss chooses its form by it.
    parts, size = data[0].shape[:2]
    y_a, y_b = (tf.reshape(rows.stack(), [-1 if parts is None else parts * size, width]) for rows in (rows_a, rows_b))
    return Represented(y_a, y_b, *tf.unstack(finite))


def encoder_gradients(
    encoder: keras.Model, make_views: MakeViews, data: Stacks, d_y: tuple[tf.Tensor, tf.Tensor]
) -> list[tf.Tensor]:
    """Gradients of the loss by the encoder's weights; updates running statistics once a micro-batch and view, in order.

    Args:
        encoder: As of `represent`.
        make_views: As of `represent`.
        data: As of `represent`.
        d_y: Gradients of the loss by y_a and by y_b, [k, m, d].

    Returns:
        One gradient for each of `encoder.trainable_variables`, of its shape and dtype, added up in float32 at least.
    """
    count = tf.shape(data[0])[0]
    variables = encoder.trainable_variables

    def body(index: tf.Tensor, sums: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        view_a, view_b = make_views(_micro_batch(data, index))
        for view, d_rows in zip((view_a, view_b), d_y, strict=True):
            # View b waits for view a's gradient: the activations of m images at a time, not of 2 m.
            with tf.control_dependencies(sums), gradient_tape() as tape:
                y = encoder(tf.identity(view), training=True)
            gradients = tape.gradient(y, variables, output_gradients=d_rows[index])
            sums = [total + tf.cast(more, total.dtype) for total, more in zip(sums, gradients, strict=True)]
        return index + 1, sums

    zeros = [tf.zeros(variable.shape, _wide(variable.dtype)) for variable in variables]
    _, sums = tf.while_loop(lambda index, _: index < count, body, (0, zeros), parallel_iterations=1)
    return [tf.cast(total, variable.dtype) for total, variable in zip(sums, variables, strict=True)]


def _micro_batch(data: Stacks, index: tf.Tensor) -> tuple[tf.Tensor, ...]:
    return tuple(stack[index] for stack in data)


def _all_finite(tensor: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(tf.math.is_finite(tensor))


def _wide(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"
