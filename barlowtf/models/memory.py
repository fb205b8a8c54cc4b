"""How much memory a training step will want, from the layers' shapes."""

import keras
import numpy as np

_FLOAT32 = 4


def estimate_memory(
    encoder: keras.Model, projector: keras.Model, *, images: int, optimizer_slots: int, activation_bytes: int
) -> dict[str, int]:
    """Returns the parts of one replica's memory during a training step, bytes.

    Counts the output of each layer for both views, which the backward pass needs; buffers of the framework and of the
    kernels come on top.

    Args:
        encoder: Built for images of known size.
        projector: Built.
        images: This replica's share of the batch.
        optimizer_slots: Float32 values an optimizer keeps for each parameter: LARS and SGD 1, LAMB and AdamW 2.
        activation_bytes: Bytes of an activation: 4, under mixed_bfloat16 2.
    """
    parameters = encoder.count_params() + projector.count_params()
    outputs = sum(_output_values(layer) for model in (encoder, projector) for layer in model.layers)
    width = projector.output_shape[-1]
    return {
        "weights": parameters * _FLOAT32,
        "gradients": parameters * _FLOAT32,
        "optimizer": parameters * optimizer_slots * _FLOAT32,
        "activations": 2 * images * outputs * activation_bytes,
        "loss": (4 * images * width + 3 * min(images, width) ** 2) * _FLOAT32,
    }


def _output_values(layer: keras.layers.Layer) -> int:
    """Returns the number of values in a layer's output for one image."""
    return int(np.prod([size for size in layer.output.shape[1:] if size is not None]))
