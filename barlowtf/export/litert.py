"""LiteRT (TensorFlow Lite) files of four precisions.

float32        weights and sums float32
float16        weights float16, half the size; sums as the device has them
dynamic-int8   weights int8, a quarter of the size; activations quantized as they come
int8           all int8, for devices without floating point; ranges from representative images
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from barlowtf.errors import ExportError
from barlowtf.export.network import Parts, equalized_network, inference_network

VARIANTS = ("float32", "float16", "dynamic-int8", "int8")


def convert_litert(parts: Parts, variants: Iterable[str], images: np.ndarray | None = None) -> dict[str, bytes]:
    """Returns the content of a `.tflite` file for each variant.

    The signature "serving_default" takes images [N, S, S, C] and gives features [N, d], with a head also logits and
    probabilities [N, K]. Images are float32 in [0, 1] and outputs float32; "int8" takes the same images as uint8 from 0
    to 255, and gives int8 with a scale and a zero point for each output.

    Args:
        parts: What is exported.
        variants: Of `VARIANTS`.
        images: Representative views, uint8 [M, S, S, C]; "int8" needs them.

    Raises:
        ValueError: Unknown variant.
        ExportError: "int8" without images.
    """
    variants = tuple(variants)
    unknown = set(variants) - set(VARIANTS)
    if unknown:
        raise ValueError(f"Received variants {sorted(unknown)}. Expected some of {', '.join(VARIANTS)}.")
    if "int8" in variants and (images is None or not len(images)):
        raise ExportError(
            "The variant int8 takes its ranges from representative images. Received none. Add --data SPEC."
        )
    contents = {}
    floats = tuple(variant for variant in variants if variant != "int8")
    if floats:
        with _written(inference_network(parts)) as folder:
            contents = {variant: _convert(folder, variant) for variant in floats}
    if "int8" in variants:
        with _written(equalized_network(parts, images)) as folder:
            contents["int8"] = _convert(folder, "int8", images)
    return {variant: contents[variant] for variant in variants}


@contextmanager
def _written(network: keras.Model) -> Iterator[str]:
    """Gives the folder of a SavedModel of the network, while the converter needs it."""
    with tempfile.TemporaryDirectory() as folder:
        _write_network(network, folder)
        yield folder


def _write_network(network: keras.Model, folder: str) -> None:
    archive = keras.export.ExportArchive()
    archive.track(network)
    (images,) = network.inputs
    specification = tf.TensorSpec(images.shape, tf.float32, name="images")
    archive.add_endpoint("serving_default", lambda images: _named(network(images, training=False)), [specification])
    archive.write_out(folder, verbose=False)


def _named(outputs: Any) -> dict[str, tf.Tensor]:
    return outputs if isinstance(outputs, dict) else {"features": outputs}


def _convert(folder: str, variant: str, images: np.ndarray | None = None) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant == "int8":
        converter.representative_dataset = lambda: _representative(images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    return converter.convert()


def _representative(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    for number, image in enumerate(images):
        floats = image[None].astype(np.float32) / 255.0
        if number == 0:
            # Black and white, so that the input's step is 1 / 255 whatever the images are.
            floats[0, 0, 0], floats[0, -1, -1] = 0.0, 1.0
        yield [floats]
