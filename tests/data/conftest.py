"""Small image files, and deterministic stand-ins for the draws and crops of barlowtf.augment."""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

SIZE = 6


def encode(pixels: np.ndarray, file_format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format)
    return buffer.getvalue()


def draw(ids: tf.Tensor, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Seeds tell id and epoch; uniforms are a fixed function of both."""
    seeds = tf.stack([tf.cast(ids, tf.int32), tf.fill(tf.shape(ids), tf.cast(epoch, tf.int32))], axis=1)
    phase = tf.cast(ids, tf.float32)[:, tf.newaxis, tf.newaxis] * 0.37 + tf.cast(epoch, tf.float32) * 0.11
    return seeds, tf.math.floormod(phase + tf.reshape([0.0, 0.2, 0.5, 0.9], [1, 2, 2]), 1.0)


def crop(image: tf.Tensor, uniforms: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts SIZE x SIZE pixels at the place that the uniforms say."""
    slack = tf.cast(tf.shape(image)[:2] - SIZE + 1, tf.float32)
    starts = tf.cast(uniforms * slack, tf.int32)
    cuts = [tf.slice(image, tf.concat([start, [0]], 0), [SIZE, SIZE, -1]) for start in tf.unstack(starts)]
    return tuple(tf.ensure_shape(cut, [SIZE, SIZE, image.shape[-1]]) for cut in cuts)


def crop_batch(images: tf.Tensor, uniforms: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    signature = (tf.TensorSpec([SIZE, SIZE, images.shape[-1]], tf.uint8),) * 2
    crops = tf.map_fn(lambda pair: crop(*pair), (images, uniforms), fn_output_signature=signature)
    return tuple(tf.ensure_shape(part, [images.shape[0], *part.shape[1:]]) for part in crops)


@pytest.fixture
def crops() -> tuple:
    """(draw, crop, crop_batch), as the pipeline takes them."""
    return draw, crop, crop_batch


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """23 PNG files of different sizes in the class folders ant, bee and cow of train/; 4 in val/."""
    generator = np.random.default_rng(5)
    for split, count in (("train", 23), ("val", 4)):
        for number in range(count):
            folder = tmp_path / "set" / split / ("ant", "bee", "cow")[number % 3]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 256, (8 + number % 3, 10, 3), np.uint8)
            (folder / f"{number:02d}.png").write_bytes(encode(pixels))
    return tmp_path / "set"
