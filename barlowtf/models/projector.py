"""The projector: from features to the embeddings that the loss compares."""

import itertools
from collections.abc import Sequence

import keras

from barlowtf.models.layers import Layers


def make_projector(
    input_dim: int,
    widths: Sequence[int] = (8192, 8192, 8192),
    *,
    bias: bool = False,
    normalization: bool = True,
    dtype: str | None = None,
    seed: int = 0,
    name: str = "projector",
) -> keras.Model:
    """Linear layers, with normalization and ReLU after all but the last.

    Args:
        input_dim: Width d of the features, >= 1.
        widths: Widths of the linear layers, each >= 1; the last is the embedding's width D. Default: the paper.
        bias: Whether the linear layers have biases. Default: the authors' code.
        normalization: Whether normalization comes before each ReLU. Default: the paper, whose table 5 has it without.
        dtype: Keras dtype policy, "float32" or "mixed_bfloat16"; None: the global one.
        seed: Seed of the first weights, >= 0.
        name: Of the model, and before the numbers of its layers.

    Returns:
        Functional model: float [N, d] -> embeddings [N, D] in the policy's compute dtype. Layers are named
        "projector_0" (linear), "projector_1" (normalization), "projector_2" (ReLU), "projector_3", ... as in PyTorch;
        without normalization "projector_0" (linear), "projector_1" (ReLU), "projector_2", ...

    Raises:
        ValueError: `input_dim` or a width is below 1, or there is no width.

    Source: arXiv:2103.03230, section 2.2; facebookresearch/barlowtwins main.py, BarlowTwins.__init__.
    """
    if input_dim < 1 or not widths or min(widths) < 1:
        raise ValueError(
            f"Invalid widths: received {tuple(widths)} with input_dim {input_dim}, expected at least one, each >= 1."
        )
    layers = Layers(dtype, seed)
    features = keras.Input((input_dim,), dtype="float32", name="features")
    x = features
    names = (f"{name}_{number}" for number in itertools.count())
    for width in widths[:-1]:
        x = layers.linear(x, width, name=next(names), bias=bias)
        if normalization:
            x = layers.normalization(x, name=next(names))
        x = layers.relu(x, name=next(names))
    embeddings = layers.linear(x, widths[-1], name=next(names), bias=bias)
    return keras.Model(features, embeddings, name=name)
