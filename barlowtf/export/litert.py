"""LiteRT (TensorFlow Lite) files of four precisions.

float32        weights and sums float32
float16        weights float16, half the size; sums as the device has them
dynamic-int8   weights int8, a quarter of the size; activations quantized as they come
int8           all int8, for devices without floating point; ranges from representative images
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from barlowtf.atomic import scratch_folder
from barlowtf.errors import ExportError
from barlowtf.export.format import Format, Material, write_class_names
from barlowtf.export.network import Parts, equalized_network, inference_network
from barlowtf.export.replay import in_batches, milliseconds

VARIANTS = ("float32", "float16", "dynamic-int8", "int8")


def convert_litert(parts: Parts, variants: Iterable[str], images: np.ndarray | None = None) -> dict[str, bytes]:
    """Returns the content of a `.tflite` file for each variant.

    The signature "serving_default" takes images [N, S, S, C] and gives features [N, d], with a head also logits and
    probabilities [N, K]. Images are float32 in [0, 1] and outputs float32; "int8" takes the same images as uint8 from 0
    to 255, and gives int8 with a scale and a zero point for each output.

    Args:
        parts: What is exported.
        variants: Some of `VARIANTS`.
        images: Views of training images, uint8 [M, S, S, C], on which "int8" is calibrated.

    Raises:
        ValueError: Unknown variant.
        ExportError: "int8" without images.
    """
    variants = tuple(variants)
    unknown = set(variants) - set(VARIANTS)
    if unknown:
        raise ValueError(f"Invalid variants: received {sorted(unknown)}, expected some of {', '.join(VARIANTS)}.")
    if "int8" in variants and (images is None or not len(images)):
        raise ExportError("The variant int8 is calibrated on training images, and there are none. Add --data SPEC.")
    contents = {}
    floats = tuple(variant for variant in variants if variant != "int8")
    if floats:
        with _written(inference_network(parts)) as folder:
            contents = {variant: _convert(folder, variant) for variant in floats}
    if "int8" in variants:
        with _written(equalized_network(parts, cast(np.ndarray, images))) as folder:
            contents["int8"] = _convert(folder, "int8", images)
    return {variant: contents[variant] for variant in variants}


@contextmanager
def _written(network: keras.Model) -> Iterator[str]:
    """Yields the folder of a SavedModel of the network, while the converter needs it."""
    with scratch_folder() as folder:
        _write_network(network, str(folder))
        yield str(folder)


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
        converter.representative_dataset = lambda: _representative(cast(np.ndarray, images))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    try:
        return converter.convert()
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ExportError(
            f"The variant {variant} cannot be written: {lines[0] if lines else type(error).__name__}. Choose others "
            "with --variant."
        ) from error


def _representative(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    for number, image in enumerate(images):
        floats = image[None].astype(np.float32) / 255.0
        if number == 0:
            # Black and white, so that the input's step is 1 / 255 whatever the images are.
            floats[0, 0, 0], floats[0, -1, -1] = 0.0, 1.0
        yield [floats]


def _write(material: Material, folder: Path) -> dict[str, str]:
    images = material.calibration_views() if "int8" in material.variants else None
    contents = convert_litert(material.parts, material.variants, images)
    for variant, content in contents.items():
        (folder / f"{variant}.tflite").write_bytes(content)
    write_class_names(material.parts, folder)
    return {f"{variant}.tflite": variant for variant in contents}


def read_tflite(path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the outputs of a LiteRT file, dequantized; runs in a fresh process."""
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(model_path=path, num_threads=2).get_signature_runner("serving_default")
    details = signature.get_output_details()
    (image,) = signature.get_input_details().values()
    views = inputs["views"] if image["dtype"] == np.uint8 else inputs["views"].astype(np.float32) / 255.0

    def dequantized(value: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
        return (value.astype(np.float32) - zero_point) * np.float32(scale) if scale else value.copy()

    def run(rows: slice) -> dict[str, np.ndarray]:
        outputs = signature(images=views[rows])
        return {name: dequantized(value, *details[name]["quantization"]) for name, value in outputs.items()}

    return in_batches(run, len(views)) | milliseconds(lambda: run(slice(1)))


TFLITE = Format(
    files=("*.tflite",),
    write=_write,
    read=read_tflite,
    least_agreement={"float32": 0.999, "float16": 0.995, "dynamic-int8": 0.98, "int8": 0.98},
    variants=VARIANTS,
    calibrated=("int8",),
    packages=("ai_edge_litert",),
    extra="litert",
)
