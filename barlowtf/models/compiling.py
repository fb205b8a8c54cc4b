"""Whether Keras compiles a model's steps by XLA."""

from typing import Any

import tensorflow as tf


def resolve_jit_compile(jit_compile: Any) -> Any:
    """Returns `jit_compile` of `keras.Model.compile`: for "auto" False where XLA does not pay or does not work.

    Keras' "auto" is True wherever the layers allow it. But on a CPU XLA is slower, in a mirrored step it does not nest,
    and on GPUs of compute capability 12 and above the wheels of TensorFlow 2.21 abort.
    """
    if jit_compile != "auto":
        return jit_compile
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) != 1 or tf.distribute.get_strategy().num_replicas_in_sync > 1:
        return False
    capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
    return jit_compile if capability is not None and capability < (12, 0) else False
