"""Convolution of small images as products of a few large matrices.

Letters: k × k the kernel, s the stride, p the zeros on every side; x [n, H, W, C] the input without these zeros, y
[n, h, w, K] the output. Entry (i, j) of the kernel meets input row s r + i - p at output row r, likewise for columns.

Written as one matrix, a convolution maps the H W C numbers of an image to the h w K of its output: where an input
place meets an output place the matrix holds that entry of the kernel, elsewhere zeros. Of 3 × 3 kernels on 2 × 2
images there are no zeros, and no product with the zeros around the image is computed, of which a kernel for
convolutions computes 20 of 36. Value and both gradients then are three matrix products, for which processors are made.
"""

import numpy as np
import tensorflow as tf

# Pairs of an input and an output place up to which the matrix pays: those of 3 x 3 images and their outputs.
_MOST_PAIRS = 81
# Entries of the matrix, and images below which making it is not worth while.
_MOST_ENTRIES, _FEWEST_IMAGES = 32_000_000, 64


def is_small(x: tf.Tensor, kernel: tf.Tensor, y_shape: tuple[int | None, ...], border: int) -> bool:
    """Returns whether the matrix is the faster way (benchmarks/results/small_convolution.json).

    Args:
        x: Input, [n, H + 2 b, W + 2 b, C].
        kernel: [k, k, C, K].
        y_shape: Shape of the output, (n, h, w, K).
        border: Zeros on every side of `x`, b.
    """
    images, height, width = x.shape[0], x.shape[1], x.shape[2]
    if images is None or images < _FEWEST_IMAGES or kernel.shape[0] == 1 or None in (height, width, *y_shape[1:3]):
        return False
    pairs = (height - 2 * border) * (width - 2 * border) * y_shape[1] * y_shape[2]
    return pairs <= _MOST_PAIRS and pairs * kernel.shape[2] * kernel.shape[3] <= _MOST_ENTRIES


def small_convolution(x: tf.Tensor, kernel: tf.Tensor, *, stride: int, zeros: int, border: int = 0) -> tf.Tensor:
    """Returns the convolution of a square kernel.

    Args:
        x: Input, float [n, H + 2 b, W + 2 b, C], all but n known.
        kernel: Of the same dtype, [k, k, C, K], k odd.
        stride: s, >= 1.
        zeros: Zeros around `x` that are meant and not there, p.
        border: Zeros that are there on every side of `x`, b; with them p = 0. The gradient is 0 there, which is right
            for whoever has put them there.

    Returns:
        [n, h, w, K], h = (H + 2 (p + b) - k) // s + 1.
    """

    @tf.custom_gradient
    def convolution(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, object]:
        inner = _inner(x, border)
        height, width, channels = inner.shape[1:]
        size, filters = kernel.shape[0], kernel.shape[3]
        rows, columns = (
            _meetings(side, (side + 2 * (zeros + border) - size) // stride + 1, size, stride, zeros + border)
            for side in (height, width)
        )
        matrix = _matrix(kernel, rows, columns)
        flat = tf.reshape(inner, [-1, height * width * channels])
        y = tf.reshape(flat @ matrix, [-1, rows.shape[1], columns.shape[1], filters])

        def gradient(g: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_flat = tf.matmul(tf.reshape(g, [-1, matrix.shape[1]]), matrix, transpose_b=True)
            of_x = tf.reshape(of_flat, [-1, height, width, channels])
            if border:
                of_x = tf.pad(of_x, [[0, 0], [border, border], [border, border], [0, 0]])
            return of_x, filter_gradient(inner, g, size, stride, zeros + border)

        return y, gradient

    return convolution(x, kernel)


def filter_gradient(x: tf.Tensor, g: tf.Tensor, size: int, stride: int, zeros: int) -> tf.Tensor:
    """Gradient of a convolution by its kernel, as one matrix product for each of the kernel's entries.

    The gradient of entry (i, j) is Σ x[·, s r + i - p, s c + j - p, :]ᵀ g[·, r, c, :] over the rows r and columns c
    whose input lies inside the image. A CPU's kernel for the same gradient wants large images
    (benchmarks/results/small_convolution.json).

    Args:
        x: Input, float [n, H, W, C], H and W known.
        g: Gradient of the output, of the same dtype, [n, h, w, K], h and w known.
        size: k, odd.
        stride: s, >= 1.
        zeros: p.

    Returns:
        [k, k, C, K], dtype of `x`.
    """
    (height, width, channels), (high, wide, filters) = x.shape[1:], g.shape[1:]
    rows = [_overlap(entry - zeros, stride, height, high) for entry in range(size)]
    columns = [_overlap(entry - zeros, stride, width, wide) for entry in range(size)]
    if stride > 1:
        # Places first: gathering whole images is a copy, a slice with a stride is slow.
        x_places = tf.transpose(tf.reshape(x, [-1, height * width, channels]), [1, 0, 2])
        g_places = tf.transpose(tf.reshape(g, [-1, high * wide, filters]), [1, 0, 2])
    products = []
    for row_x, row_g in rows:
        for column_x, column_g in columns:
            if stride > 1:
                of_x = tf.gather(x_places, _places(row_x, column_x, width))
                of_g = tf.gather(g_places, _places(row_g, column_g, wide))
            else:
                of_x, of_g = x[:, row_x, column_x], g[:, row_g, column_g]
            products.append(
                tf.matmul(tf.reshape(of_x, [-1, channels]), tf.reshape(of_g, [-1, filters]), transpose_a=True)
            )
    return tf.reshape(tf.stack(products), [size, size, channels, filters])


def _inner(x: tf.Tensor, border: int) -> tf.Tensor:
    """Returns x without its border."""
    if not border:
        return x
    _, height, width, channels = x.shape
    rows, columns = slice(border, height - border), slice(border, width - border)
    flat = tf.gather(tf.reshape(x, [-1, height * width, channels]), _places(rows, columns, width), axis=1)
    return tf.reshape(flat, [-1, height - 2 * border, width - 2 * border, channels])


def _meetings(inputs: int, outputs: int, size: int, stride: int, zeros: int) -> np.ndarray:
    """Returns which entry of the kernel, along one axis, input a meets at output b, int [inputs, outputs]; -1: none."""
    entry = np.arange(inputs)[:, None] - stride * np.arange(outputs) + zeros
    return np.where((entry >= 0) & (entry < size), entry, -1)


def _matrix(kernel: tf.Tensor, rows: np.ndarray, columns: np.ndarray) -> tf.Tensor:
    """Returns the matrix of the convolution, [H W C, h w K].

    Args:
        kernel: [k, k, C, K].
        rows: Entries that rows meet, int [H, h], see `_meetings`.
        columns: The same for columns, int [W, w].
    """
    size, _, channels, filters = kernel.shape
    met = rows[:, None, :, None], columns[None, :, None, :]
    entry = np.where((met[0] >= 0) & (met[1] >= 0), size * met[0] + met[1], size * size)  # [H, W, h, w]
    entries = tf.reshape(kernel, [size * size, channels * filters])
    if (entry == size * size).any():
        entries = tf.concat([entries, tf.zeros([1, channels * filters], kernel.dtype)], 0)
    inputs, outputs = rows.shape[0] * columns.shape[0], rows.shape[1] * columns.shape[1]
    blocks = tf.reshape(tf.gather(entries, entry.reshape(-1)), [inputs, outputs, channels, filters])
    return tf.reshape(tf.transpose(blocks, [0, 2, 1, 3]), [inputs * channels, outputs * filters])


def _overlap(offset: int, stride: int, inputs: int, outputs: int) -> tuple[slice, slice]:
    """Returns the input and output places with input = stride * output + offset, both inside; empty where none are."""
    first = max(0, -(offset // stride))  # the least r with stride * r + offset >= 0
    last = min(outputs - 1, (inputs - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(stride * first + offset, stride * last + offset + 1, stride), slice(first, last + 1)


def _places(rows: slice, columns: slice, width: int) -> np.ndarray:
    """Returns the numbers of the places in these rows and columns of images of a width, int [m]."""
    return (np.r_[rows][:, None] * width + np.r_[columns]).reshape(-1)
