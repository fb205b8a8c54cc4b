"""What names a model's weights, wherever they lie: two models of equal weights have the same one."""

import hashlib

import keras
import numpy as np


def weights_sha256(model: keras.Model) -> str:
    """Returns the sha256 over name, shape and values of all weights and running statistics, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(weight.numpy())
        # Without the model's own name in front, which says nothing about its function.
        name = "/".join(weight.path.split("/")[-2:])
        digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
