"""LiteRT (TensorFlow Lite) files of four precisions.

float32        weights and sums float32
float16        weights float16, half the size; sums as the device has them
dynamic-int8   weights int8, a quarter of the size; activations quantized as they come
int8           all int8, for devices without floating point; ranges from representative images
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field

from barlowtf.atomic import scratch_folder
from barlowtf.config.section import Batch, Section
from barlowtf.errors import ExportError
from barlowtf.export.format import Format, Material, Replayed, compare_replayed, write_class_names
from barlowtf.export.litert_metadata import with_metadata
from barlowtf.export.network import Parts, equalized_network, inference_network
from barlowtf.export.replay import filled_up, in_batches, milliseconds

VARIANTS = ("float32", "float16", "dynamic-int8", "int8")
_INT8_OUTPUTS = {"float32": tf.float32, "uint8": tf.uint8, "int8": tf.int8}


class TfliteSettings(Section):
    """What a LiteRT file takes and gives."""

    batch: Batch | None = Field(None, description="number of images in a call; null: any")
    outputs: Literal["all", "features", "probabilities"] = Field("all", description="which outputs a file gives")
    # MediaPipe Tasks and LiteRT.js refuse int8; it is for processors that cannot compute in floating point at all.
    int8_outputs: Literal["float32", "uint8", "int8"] = Field(
        "float32", description="type of the outputs of int8.tflite; uint8 and int8 have a scale and a zero point"
    )


def convert_litert(
    parts: Parts,
    variants: Iterable[str],
    images: np.ndarray | None = None,
    settings: TfliteSettings | None = None,
    facts: Mapping[str, str] | None = None,
) -> dict[str, bytes]:
    """Returns the content of a `.tflite` file for each variant, with metadata, see `with_metadata`.

    The signature "serving_default" takes images [N, S, S, C] and gives features [N, d], with a head also logits and
    probabilities [N, K], or the one output that the settings name. Images are float32 in [0, 1] and outputs float32;
    "int8" takes the same images as uint8 from 0 to 255.

    Args:
        parts: What is exported.
        variants: Some of `VARIANTS`.
        images: Views of training images, uint8 [M, S, S, C], on which "int8" is calibrated.
        settings: Batch and outputs; None: the defaults.
        facts: What the metadata say of the origin, name -> value.

    Raises:
        ValueError: Unknown variant.
        ExportError: "int8" without images, or probabilities without head.
    """
    settings = settings or TfliteSettings()
    outputs = chosen_outputs(parts, settings)
    variants = tuple(variants)
    unknown = set(variants) - set(VARIANTS)
    if unknown:
        raise ValueError(f"Invalid variants: received {sorted(unknown)}, expected some of {', '.join(VARIANTS)}.")
    if "int8" in variants and (images is None or not len(images)):
        raise ExportError("The variant int8 is calibrated on training images, and there are none. Add --data SPEC.")
    contents = {}
    floats = tuple(variant for variant in variants if variant != "int8")
    if floats:
        with _written(inference_network(parts), settings.batch, outputs) as folder:
            contents = {variant: _convert(folder, variant) for variant in floats}
    if "int8" in variants:
        calibration = cast(np.ndarray, images)
        with _written(equalized_network(parts, calibration), settings.batch, outputs) as folder:
            contents["int8"] = _convert_integers(folder, calibration, settings)
    return {variant: with_metadata(contents[variant], parts, facts) for variant in variants}


def chosen_outputs(parts: Parts, settings: TfliteSettings) -> tuple[str, ...]:
    """Returns the names of the outputs that a file gives; raises ExportError where there is no head for them."""
    if parts.head is None and settings.outputs == "probabilities":
        raise ExportError(
            "Invalid outputs: received probabilities, expected all or features for an encoder without head. Add --head "
            "RESULT, or change --outputs."
        )
    if settings.outputs != "all":
        return (settings.outputs,)
    return ("features",) if parts.head is None else ("features", "logits", "probabilities")


@contextmanager
def _written(network: keras.Model, batch: int | None, outputs: tuple[str, ...]) -> Iterator[str]:
    """Yields the folder of a SavedModel of the network, while the converter needs it."""
    archive = keras.export.ExportArchive()
    archive.track(network)
    (images,) = network.inputs
    specification = tf.TensorSpec((batch, *images.shape[1:]), tf.float32, name="images")

    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        found = network(images, training=False)
        return {name: found[name] for name in outputs} if isinstance(found, dict) else {"features": found}

    archive.add_endpoint("serving_default", serve, [specification])
    with scratch_folder() as folder:
        archive.write_out(str(folder), verbose=False)
        yield str(folder)


def _convert(folder: str, variant: str) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return _converted(converter, variant)


def _convert_integers(folder: str, images: np.ndarray, settings: TfliteSettings) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _representative(images, settings.batch or 1)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    # With float32 the last operation turns integers into numbers of that type.
    converter.inference_output_type = _INT8_OUTPUTS[settings.int8_outputs]
    return _converted(converter, "int8")


def _converted(converter: Any, variant: str) -> bytes:
    try:
        return converter.convert()
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ExportError(
            f"The variant {variant} cannot be written: {lines[0] if lines else type(error).__name__}. Choose others "
            "with --variant."
        ) from error


def _representative(images: np.ndarray, batch: int) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(images), batch):
        # The last batch is filled up with the first images.
        rows = np.arange(start, start + batch) % len(images)
        floats = images[rows].astype(np.float32) / 255.0
        if start == 0:
            # Black and white, so that the input's step is 1 / 255 whatever the images are.
            floats[0, 0, 0], floats[0, -1, -1] = 0.0, 1.0
        yield [floats]


def _check(material: Material) -> None:
    chosen_outputs(material.parts, material.settings)


def _write(material: Material, folder: Path) -> dict[str, str]:
    images = material.calibration_views() if "int8" in material.variants else None
    contents = convert_litert(material.parts, material.variants, images, material.settings, material.about.facts)
    for variant, content in contents.items():
        (folder / f"{variant}.tflite").write_bytes(content)
    write_class_names(material.parts, folder)
    return {f"{variant}.tflite": variant for variant in contents}


def _compare(replayed: Replayed) -> dict[str, Any]:
    """Returns the figures of the outputs that the file was to give."""
    chosen = chosen_outputs(replayed.parts, replayed.settings)
    return compare_replayed(dataclasses.replace(replayed, expected={name: replayed.expected[name] for name in chosen}))


def read_tflite(path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the outputs of a LiteRT file, dequantized; runs in a fresh process."""
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(model_path=path, num_threads=2).get_signature_runner("serving_default")
    details = signature.get_output_details()
    (image,) = signature.get_input_details().values()
    views = inputs["views"] if image["dtype"] == np.uint8 else inputs["views"].astype(np.float32) / 255.0

    def dequantized(value: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
        return (value.astype(np.float32) - zero_point) * np.float32(scale) if scale else value.copy()

    def call_signature(part: np.ndarray) -> dict[str, np.ndarray]:
        outputs = signature(images=part)
        return {name: dequantized(value, *details[name]["quantization"]) for name, value in outputs.items()}

    # -1 stands for any number.
    batch = max(0, int(image["shape_signature"][0])) or None
    call = filled_up(call_signature, batch)

    def run(rows: slice) -> dict[str, np.ndarray]:
        return call(views[rows])

    return in_batches(run, len(views), batch) | milliseconds(lambda: run(slice(1)))


TFLITE = Format(
    files=("*.tflite",),
    write=_write,
    read=read_tflite,
    compare=_compare,
    check=_check,
    settings=TfliteSettings,
    least_agreement={"float32": 0.999, "float16": 0.995, "dynamic-int8": 0.98, "int8": 0.98},
    variants=VARIANTS,
    calibrated=("int8",),
    packages=("ai_edge_litert",),
    extra="litert",
)
