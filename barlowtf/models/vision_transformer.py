"""Vision transformers: an image as a row of patches, each of which sees all others.

Letters: p side of a patch, T = h w tokens of an image, d width, a heads of width d / a.

As the ViT of arXiv:2010.11929 but for two choices. The features are the mean over all tokens, not a class token: as
accurate (arXiv:2205.01580), one thing less to learn, and like those of a ResNet, which are a mean over places.
Positions are fixed sines and cosines, not learned: they serve images of any size, and no weight hangs on the size.

Blocks normalize first; layer normalization has epsilon 1e-6; GELU is exact. There is no dropout: its draws would differ
between the two passes of a micro-batch, and between a resumed run and the unbroken one.

Source: arXiv:2010.11929; google-research/big_vision, models/vit.py (first weights).
"""

import re
from dataclasses import dataclass

import keras
import numpy as np

from barlowtf.models.encoder_kind import EncoderKind
from barlowtf.models.layers import layer_seed
from barlowtf.models.positions import SineCosinePositions, position_table
from barlowtf.models.timm_model import TimmModel

_EPSILON = 1e-6
_EXPANSION = 4


@dataclass(frozen=True)
class _Size:
    """Width d, number of heads a, number of blocks."""

    width: int
    heads: int
    depth: int = 12


# Source: arXiv:2010.11929, table 1 (B); arXiv:2012.12877, table 1 (Ti, S).
SIZES = {"ti": _Size(192, 3), "s": _Size(384, 6), "b": _Size(768, 12)}


@dataclass(frozen=True)
class _Blocks:
    """Adds the layers of a transformer to a functional model; first weights follow from seed and layer name."""

    dtype: str | None
    seed: int
    size: _Size

    def dense(self, x: keras.KerasTensor, units: int, *, name: str) -> keras.KerasTensor:
        """Linear layer with bias; weights Glorot-uniform, biases 0."""
        initializer = keras.initializers.GlorotUniform(seed=layer_seed(self.seed, name))
        return keras.layers.Dense(units, kernel_initializer=initializer, name=name, dtype=self.dtype)(x)

    def normalization(self, x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
        """Layer normalization."""
        return keras.layers.LayerNormalization(epsilon=_EPSILON, name=name, dtype=self.dtype)(x)

    def patches(self, images: keras.KerasTensor, side: int) -> keras.KerasTensor:
        """Patches with their positions: [N, H, W, C] -> [N, T, d]; what does not fill a patch is left out."""
        initializer = keras.initializers.LecunNormal(seed=layer_seed(self.seed, "patches"))
        x = keras.layers.Conv2D(
            self.size.width, side, side, "valid", kernel_initializer=initializer, name="patches", dtype=self.dtype
        )(images)
        x = SineCosinePositions(name="positions", dtype=self.dtype)(x)
        return keras.layers.Reshape((-1, self.size.width), name="tokens", dtype=self.dtype)(x)

    def attention(self, x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
        """Every token takes from all tokens: [N, T, d] -> [N, T, d].

        Written out, because `keras.layers.MultiHeadAttention` gives query, key and value the same first weights where
        they come from a seed. The shares of a token sum to 1 over many others, in float32 whatever the policy.
        """
        heads, width = self.size.heads, self.size.width // self.size.heads

        def split(part: str, order: tuple[int, int, int]) -> keras.KerasTensor:
            y = self.dense(x, self.size.width, name=f"{name}_{part}")
            y = keras.layers.Reshape((-1, heads, width), name=f"{name}_{part}_heads", dtype=self.dtype)(y)
            return keras.layers.Permute(order, name=f"{name}_{part}_first", dtype=self.dtype)(y)

        query, value = (split(part, (2, 1, 3)) for part in ("query", "value"))  # [N, a, T, d/a]
        key = split("key", (2, 3, 1))  # [N, a, d/a, T]
        scores = keras.ops.matmul(keras.ops.multiply(query, width**-0.5), key)  # [N, a, T, T]
        shares = keras.layers.Softmax(name=f"{name}_shares", dtype="float32")(scores)
        shares = keras.layers.Identity(name=f"{name}_rounded", dtype=self.dtype)(shares)
        y = keras.ops.matmul(shares, value)
        y = keras.layers.Permute((2, 1, 3), name=f"{name}_joined", dtype=self.dtype)(y)
        y = keras.layers.Reshape((-1, self.size.width), name=f"{name}_merged", dtype=self.dtype)(y)
        return self.dense(y, self.size.width, name=f"{name}_output")

    def perceptron(self, x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
        """Each token by itself: d -> 4 d -> d."""
        y = self.dense(x, _EXPANSION * self.size.width, name=f"{name}_in")
        y = keras.layers.Activation("gelu", name=f"{name}_gelu", dtype=self.dtype)(y)
        return self.dense(y, self.size.width, name=f"{name}_out")

    def block(self, x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
        """Attention and perceptron, each behind a normalization and beside a shortcut."""
        y = self.normalization(x, name=f"{name}_norm1")
        y = self.attention(y, name=f"{name}_attention")
        x = keras.layers.Add(name=f"{name}_add1", dtype=self.dtype)([x, y])
        y = self.normalization(x, name=f"{name}_norm2")
        y = self.perceptron(y, name=f"{name}_mlp")
        return keras.layers.Add(name=f"{name}_add2", dtype=self.dtype)([x, y])


def build_vision_transformer(
    name: str, *, image_shape: tuple[int | None, int | None, int], stem: str, dtype: str | None, seed: int
) -> keras.Model:
    """A vision transformer without its classifier; see `barlowtf.models.make_encoder` for arguments and result.

    Args:
        name: "vit_" + size + side of a patch, pixels: "vit_ti16" (d = 192), "vit_s16" (384), "vit_b16" (768); for small
            images small patches, "vit_ti4".
        image_shape: Height and width are multiples of the side, or None: any size; pixels at the right and lower edge
            that do not fill a patch are then left out.
        stem: "auto".
        dtype: Keras dtype policy; None: the global one.
        seed: Seed of the first weights, >= 0.

    Raises:
        ValueError: The name has another form, or height or width is not a multiple of the side.
    """
    size, side = _parse(name)
    if any(length is not None and (length < side or length % side) for length in image_shape[:2]):
        raise ValueError(
            f"Invalid image shape: received {image_shape} for the encoder {name}, expected height and width that are "
            f"multiples of the patch of {side} pixels."
        )
    blocks = _Blocks(dtype, seed, size)
    images = keras.Input(image_shape, dtype="float32", name="images")
    x = blocks.patches(images, side)
    for number in range(size.depth):
        x = blocks.block(x, name=f"block{number}")
    x = blocks.normalization(x, name="norm")
    # In float32, because a mean of many bfloat16 values loses digits, and features are stored and compared.
    features = keras.layers.GlobalAveragePooling1D(name="avgpool", dtype="float32")(x)
    return keras.Model(images, features, name=name)


def _parse(name: str) -> tuple[_Size, int]:
    """Returns size and side of a patch from an encoder's name."""
    match = re.fullmatch(_PATTERN, name)
    if match is None or match[1] not in SIZES or int(match[2]) < 1:
        known = ", ".join(f"vit_{size}16" for size in SIZES)
        raise ValueError(
            f'Invalid encoder: received "{name}", expected one of {known}, or with a patch of another side: vit_ti4.'
        )
    return SIZES[match[1]], int(match[2])


# Layer of a block -> module of a block in timm; query, key and value are one linear layer there.
_IN_TIMM = {
    "norm1": "norm1",
    "attention_output": "attn.proj",
    "norm2": "norm2",
    "mlp_in": "mlp.fc1",
    "mlp_out": "mlp.fc2",
}


def timm_vision_transformer(encoder: keras.Model, size: int) -> TimmModel:
    """Returns timm's VisionTransformer without class token, whose positions are those of images of one size.

    Args:
        encoder: See `build_vision_transformer`.
        size: Height and width of the images, pixels.

    Source: timm vision_transformer.py, VisionTransformer (global_pool "avg", fc_norm False).
    """
    sizes, side = _parse(encoder.name)
    length = size // side
    weights = _named(encoder, "patches", "patch_embed.proj")
    for number in range(sizes.depth):
        ours, theirs = f"block{number}_", f"blocks.{number}."
        parts = [_named(encoder, f"{ours}attention_{part}", "") for part in ("query", "key", "value")]
        for kind in ("weight", "bias"):
            weights[f"{theirs}attn.qkv.{kind}"] = tuple(part[f".{kind}"][0] for part in parts)
        for layer, module in _IN_TIMM.items():
            weights |= _named(encoder, f"{ours}{layer}", f"{theirs}{module}")
    weights |= _named(encoder, "norm", "norm")
    half = position_table(length, sizes.width)
    nothing = np.zeros_like(half)
    rows, columns = np.concatenate([nothing, half], axis=1), np.concatenate([half, nothing], axis=1)
    positions = (rows[:, None] + columns[None]).reshape(1, length**2, sizes.width)
    family = {"ti": "tiny", "s": "small", "b": "base"}[next(key for key, value in SIZES.items() if value is sizes)]
    arguments = {"img_size": size, "patch_size": side, "class_token": False, "global_pool": "avg", "fc_norm": False}
    channels = int(encoder.input_shape[-1])
    return TimmModel(
        f"vit_{family}_patch16_224",
        arguments | ({} if channels == 3 else {"in_chans": channels}),
        "head",
        weights,
        constants={"pos_embed": positions},
    )


def _named(encoder: keras.Model, layer: str, module: str) -> dict[str, tuple[keras.Variable, ...]]:
    """Returns the weights of a layer with kernel or gamma, and bias or beta, under the names of a PyTorch module."""
    first, second = encoder.get_layer(layer).weights
    return {f"{module}.weight": (first,), f"{module}.bias": (second,)}


_PATTERN = r"vit_([a-z]+)(\d+)"
VISION_TRANSFORMER = EncoderKind(
    _PATTERN,
    build_vision_transformer,
    timm=timm_vision_transformer,
    # Its trust ratio sets how far a weight moves, and the plain gradient where to.
    refused_optimizers={"lars": "LARS follows plain gradients, by which attention learns slowly (arXiv:1912.03194)"},
    members=("vit_ti16", "vit_s16", "vit_b16", "vit_ti4", "vit_s8"),
)
