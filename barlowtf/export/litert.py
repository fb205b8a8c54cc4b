"""LiteRT (TensorFlow Lite) files of four precisions, and how to run one.

float32        weights and sums float32
float16        weights float16, half the size; sums as the device has them
dynamic-int8   weights int8, a quarter of the size; activations quantized as they come
int8           all int8, for devices without floating point; ranges from representative images
"""

import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from barlowtf.errors import ExportError
from barlowtf.export.network import Parts, inference_network

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
        ExportError: "int8" without images; or the converter failed.
    """
    variants = tuple(variants)
    unknown = set(variants) - set(VARIANTS)
    if unknown:
        raise ValueError(f"Received variants {sorted(unknown)}. Expected some of {', '.join(VARIANTS)}.")
    if "int8" in variants and (images is None or not len(images)):
        raise ExportError(
            "The variant int8 takes its ranges from representative images. Received none. Add --data SPEC."
        )
    network = inference_network(parts)
    with tempfile.TemporaryDirectory() as folder:
        _write_network(network, folder)
        return {variant: _convert(folder, variant, images) for variant in variants}


def _write_network(network: keras.Model, folder: str) -> None:
    archive = keras.export.ExportArchive()
    archive.track(network)
    (images,) = network.inputs
    specification = tf.TensorSpec(images.shape, tf.float32, name="images")
    archive.add_endpoint("serving_default", lambda images: _named(network(images, training=False)), [specification])
    archive.write_out(folder, verbose=False)


def _named(outputs: Any) -> dict[str, tf.Tensor]:
    return outputs if isinstance(outputs, dict) else {"features": outputs}


def _convert(folder: str, variant: str, images: np.ndarray | None) -> bytes:
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
    for image in images:
        yield [image[None].astype(np.float32) / 255.0]
