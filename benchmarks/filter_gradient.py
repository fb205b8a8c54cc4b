"""Filter gradient of 3×3 convolutions on small images: TensorFlow's kernel against matrix products.

Command: python -m benchmarks.filter_gradient [--quick]
"""

import sys
import time
from typing import Any

import numpy as np
import tensorflow as tf

from barlowtf.models.convolution import filter_gradient
from benchmarks import machine

# Images, height and width, channels in and out.
_CASES = [(256, 6, 128), (256, 4, 256), (128, 4, 512), (256, 3, 256), (256, 2, 512), (256, 1, 512)]


def _seconds(make: Any, rounds: int) -> float:
    make()
    make()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        make().numpy()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def _measure(images: int, side: int, channels: int, dtype: tf.DType, rounds: int) -> dict[str, Any]:
    r = np.random.default_rng(0)
    shape = (images, side, side, channels)
    x, g = (tf.cast(r.standard_normal(shape).astype(np.float32), dtype) for _ in range(2))

    @tf.function
    def kernel() -> tf.Tensor:
        size = [3, 3, channels, channels]
        return tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=size, out_backprop=g, strides=[1, 1, 1, 1], padding="SAME"
        )

    @tf.function
    def products() -> tf.Tensor:
        return filter_gradient(x, g, 3, 1, "SAME")

    one, two = _seconds(kernel, rounds), _seconds(products, rounds)
    return {
        "images": images,
        "side": side,
        "channels": channels,
        "dtype": dtype.name,
        "kernel_ms": round(1000 * one, 2),
        "products_ms": round(1000 * two, 2),
        "ratio": round(one / two, 2),
    }


if __name__ == "__main__":
    rounds = 5 if "--quick" in sys.argv else 25
    cases = [_measure(*case, dtype, rounds) for case in _CASES for dtype in (tf.float32, tf.bfloat16)]
    machine.write_result("filter_gradient", {"rounds": rounds, "cases": cases})
