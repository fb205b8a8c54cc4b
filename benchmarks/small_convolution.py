"""3×3 convolutions of small images, value and both gradients: Keras' layer against ours, which takes matrix products.

Command: python -m benchmarks.small_convolution [--quick]
"""

import sys
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from barlowtf.models.convolution import Convolution
from benchmarks import machine

# Images, height and width, channels in and out, stride. Those of 4 x 4 take products for the filter gradient alone.
_CASES = [
    (256, 4, 256, 256, 1),
    (128, 4, 512, 512, 1),
    (256, 4, 256, 512, 2),
    (256, 3, 256, 256, 1),
    (256, 3, 256, 512, 2),
    (256, 2, 512, 512, 1),
    (256, 2, 256, 512, 2),
    (256, 1, 512, 512, 1),
]


def _measure(
    images: int, side: int, channels: int, filters: int, stride: int, dtype: str, rounds: int
) -> dict[str, Any]:
    r = np.random.default_rng(0)
    x = tf.constant(r.standard_normal((images, side, side, channels)).astype(np.float32))
    steps = [_step(kind, x, filters, stride, dtype) for kind in (keras.layers.Conv2D, Convolution)]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 2):
        for step, taken in zip(steps, times, strict=True):
            started = time.perf_counter()
            step()
            if number >= 2:
                taken.append(1000 * (time.perf_counter() - started))
    keras_ms, own_ms = (float(np.median(taken)) for taken in times)
    return {
        "images": images,
        "side": side,
        "channels": channels,
        "filters": filters,
        "stride": stride,
        "dtype": dtype,
        "keras_ms": round(keras_ms, 2),
        "own_ms": round(own_ms, 2),
        "ratio": round(keras_ms / own_ms, 2),
    }


def _step(kind: Any, x: tf.Tensor, filters: int, stride: int, dtype: str) -> Any:
    """Returns a function that computes the value and both gradients of a convolution, padded as in the networks."""
    border = 1 if stride > 1 else 0
    named = {"border": border} if kind is Convolution else {}
    padding = "valid" if border else "same"
    layer = kind(filters, 3, stride, padding, use_bias=False, dtype=dtype, **named)
    pad = keras.layers.ZeroPadding2D(border, dtype=dtype)
    layer.build(pad(x).shape)
    images = tf.cast(x, layer.compute_dtype)

    @tf.function
    def run() -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            y = layer(pad(images))
        of_x, of_kernel = tape.gradient(y, (images, layer.trainable_variables[0]), y)
        return y, of_x, of_kernel

    return lambda: [tensor.numpy() for tensor in run()]


if __name__ == "__main__":
    rounds = 5 if "--quick" in sys.argv else 25
    cases = [_measure(*case, dtype, rounds) for case in _CASES for dtype in ("float32", "mixed_bfloat16")]
    machine.write_result("small_convolution", {"rounds": rounds, "cases": cases})
