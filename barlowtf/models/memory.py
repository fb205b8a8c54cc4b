"""An estimate of the memory of a training step, from the shapes of the layers."""

import keras
import numpy as np

from barlowtf.losses import BoundLoss

_FLOAT32 = 4


def estimate_memory(
    encoder: keras.Model,
    projector: keras.Model,
    *,
    loss: BoundLoss,
    images: int,
    optimizer_slots: int,
    activation_bytes: int,
    local_encoder: keras.Model | None = None,
    local_images: int = 0,
) -> dict[str, int]:
    """Returns the parts of one replica's memory during a training step, bytes.

    Counts the output of each layer and operation for all views and mixtures, which the backward pass needs; buffers of
    the framework and of the kernels come on top.

    Args:
        encoder: Built for images of known size.
        projector: Built.
        loss: The loss; a moving-average copy that it asks for counts as weights.
        images: This replica's share of the batch.
        optimizer_slots: Float32 values an optimizer keeps for each parameter: LARS and SGD 1, LAMB and AdamW 2.
        activation_bytes: Bytes of an activation: 4, under mixed_bfloat16 2.
        local_encoder: The encoder built for the size of local views; None: there are none.
        local_images: This replica's local views of all images.
    """
    parameters = encoder.count_params() + projector.count_params()
    full_batches = 3 if loss.parts.mixture else 2
    outputs = full_batches * images * _outputs(encoder, projector)
    if local_encoder is not None:
        outputs += local_images * _outputs(local_encoder, projector)
    copies = 2 if loss.parts.target == "moving_average" else 1
    return {
        "weights": copies * parameters * _FLOAT32,
        "gradients": parameters * _FLOAT32,
        "optimizer": parameters * optimizer_slots * _FLOAT32,
        "activations": outputs * activation_bytes,
        "loss": loss.memory(images, projector.output_shape[-1]) * _FLOAT32,
    }


def _outputs(*models: keras.Model) -> int:
    """Returns the number of values in the outputs of all layers and operations for one image."""
    return sum(_output_values(operation) for model in models for operation in _operations(model))


def _operations(model: keras.Model) -> list[keras.Operation]:
    """Returns the layers of a model, of a functional one also what lies between them."""
    return list(model.layers if isinstance(model, keras.Sequential) else model.operations)


def _output_values(operation: keras.Operation) -> int:
    """Returns the number of values in the output of a layer or operation for one image."""
    return int(np.prod([size for size in operation.output.shape[1:] if size is not None]))
