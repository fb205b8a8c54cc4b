"""The card's rate of matrix products: what a step's share is a share of."""

import statistics
import time
from typing import Any

import numpy as np

from . import xla

_SIZE, _SIZE_ON_CPU = 8192, 512
_REPEATS = 20


def measure_rates(*, allow_cpu: bool) -> dict[str, Any]:
    """Returns operations per second of square matrix products on random data, by precision, medians of 20.

    "bfloat16": inputs and output bfloat16. "float32": JAX's default, TensorFloat-32 where the card has it.
    "float32_full": float32 throughout.

    Raises:
        MachineError: There is no JAX, or no GPU.
    """
    device = xla.open_device(allow_cpu=allow_cpu)
    import jax
    import jax.numpy as jnp

    size = _SIZE_ON_CPU if device.platform == "cpu" else _SIZE
    numbers = np.random.default_rng(0)
    pair = [jax.device_put(numbers.standard_normal((size, size), np.float32), device) for _ in range(2)]
    ways = {
        "bfloat16": (jnp.bfloat16, "default"),
        "float32": (jnp.float32, "default"),
        "float32_full": (jnp.float32, "highest"),
    }
    rates: dict[str, Any] = {"size": size}
    for name, (dtype, precision) in ways.items():
        a, b = (matrix.astype(dtype) for matrix in pair)
        product = jax.jit(lambda a, b, precision=precision: jnp.matmul(a, b, precision=precision))
        seconds = []
        for _ in range(3 + _REPEATS):
            started = time.perf_counter()
            product(a, b).block_until_ready()
            seconds.append(time.perf_counter() - started)
        rates[name] = 2 * size**3 / statistics.median(seconds[3:])
    return {"rates": rates, **xla.describe(device)}
