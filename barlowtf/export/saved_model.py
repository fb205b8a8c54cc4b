"""A SavedModel that TensorFlow Serving mounts as it is: named signatures, preprocessing inside."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import Section
from barlowtf.data import Rendering, center_view, decode_in_graph
from barlowtf.distribute import describe_machine
from barlowtf.errors import ExportError
from barlowtf.export.comparison import compare_outputs
from barlowtf.export.format import Format, Material, Replayed, write_class_names
from barlowtf.export.network import Parts, inference_network
from barlowtf.export.plain import folded_encoder
from barlowtf.export.replay import in_batches, milliseconds
from barlowtf.export.serving import Signature, require_servable_name, serving_readme, write_config_files
from barlowtf.export.warmup import warmup_requests, write_warmup
from barlowtf.records import FileFigures

_Outputs = dict[str, tf.Tensor]
# Rows of the requests that a server runs before it offers a version: the least, and some.
_WARM_UP_ROWS = (1, 8)
# Name of the signature that takes pixels, where serving_default takes float32 views.
_PIXELS = "from_pixels"


class SavedModelSettings(Section):
    """What a SavedModel's default signature takes."""

    serving_default: Literal["pixels", "floats"] = Field(
        "pixels",
        description="what serving_default takes: pixels, uint8 of any size; floats: what float_images takes, for "
        "programs that know no other signature and no resizing, such as OpenVINO by path",
    )


def write_saved_model(parts: Parts, folder: Path, settings: SavedModelSettings | None = None) -> dict[str, Signature]:
    """Writes a SavedModel and returns its signatures by name.

    ::

        serving_default   images uint8 [N, H, W, C], any height and width -> outputs
        from_jpeg         encoded string [N], JPEG, PNG, BMP, GIF or WebP -> outputs and valid bool [N]
        float_images      images float32 [N, S, S, C] in [0, 1], views as they are -> outputs that are numbers
        embed             images uint8 [N, H, W, C] -> embeddings float32 [N, D]; where there is a projector

    Outputs are features float32 [N, d]; with a head also logits and probabilities float32 [N, K], and label string [N],
    the name of the most probable class. Images become the center view that the protocols evaluate. Bytes that are no
    image give a row of zeros, an empty label and valid = false. The rows of a batch do not depend on one another.

    What is loaded can also be called: `tf.saved_model.load(folder)(images)` takes and gives what "float_images" does.
    That signature has neither resizing nor strings, which programs other than TensorFlow cannot take.

    Where the settings say so, "serving_default" is "float_images", and its place takes "from_pixels".

    Args:
        parts: What is exported. Three channels or one.
        settings: None: the defaults.
        folder: New; where there is a head, assets.extra/class_names.txt lies in it.
    """
    network = inference_network(parts)
    views = tf.TensorSpec([None, parts.size, parts.size, parts.channels], tf.float32, name="images")
    images = tf.TensorSpec([None, None, None, parts.channels], tf.uint8, name="images")
    encoded = tf.TensorSpec([None], tf.string, name="encoded")
    names = None if parts.class_names is None else tf.constant(parts.class_names)

    def numbers_of(images: tf.Tensor) -> _Outputs:
        result = network(images, training=False)
        return {"features": result} if names is None else result

    def outputs_of(images: tf.Tensor) -> _Outputs:
        result = numbers_of(images)
        return result if names is None else {**result, "label": tf.gather(names, tf.argmax(result["logits"], axis=1))}

    def from_pixels(images: tf.Tensor) -> _Outputs:
        return outputs_of(_center_views(images, parts.size))

    def from_jpeg(encoded: tf.Tensor) -> _Outputs:
        views, valid = _decoded_views(encoded, parts.size, parts.channels, replace(parts.rendering, depth=8))
        return {name: _kept(value, valid) for name, value in outputs_of(views).items()} | {"valid": valid}

    projector = None if parts.projector is None else folded_encoder(parts.projector)

    def embed(images: tf.Tensor) -> _Outputs:
        features = numbers_of(_center_views(images, parts.size))["features"]
        return {"embeddings": cast(keras.Model, projector)(features, training=False)}

    floats = settings is not None and settings.serving_default == "floats"
    functions = {
        "serving_default": (numbers_of, views) if floats else (from_pixels, images),
        **({_PIXELS: (from_pixels, images)} if floats else {}),
        "from_jpeg": (from_jpeg, encoded),
        "float_images": (numbers_of, views),
        **({} if projector is None else {"embed": (embed, images)}),
    }
    concrete = {
        name: tf.function(function).get_concrete_function(specification)
        for name, (function, specification) in functions.items()
    }
    # Not keras.export.ExportArchive, which stores every weight twice.
    module = tf.Module()
    # Called by name by the Keras layer that loads a SavedModel, TFSMLayer, and without one by TensorFlow Hub.
    module.serve = tf.function(numbers_of, input_signature=[views])
    module.__call__ = module.serve
    module.weights = [variable.value for variable in network.variables]
    module.projector_weights = [] if projector is None else [variable.value for variable in projector.variables]
    tf.saved_model.save(module, str(folder), concrete)
    if parts.class_names is not None:
        # The place for additional files beside a SavedModel.
        (folder / "assets.extra").mkdir()
        write_class_names(parts, folder / "assets.extra")
    return {
        name: Signature({specification.name: specification}, concrete[name].structured_outputs)
        for name, (_, specification) in functions.items()
    }


def _center_views(images: tf.Tensor, size: int) -> tf.Tensor:
    """Returns uint8 images of one size as float32 views [N, size, size, C] in [0, 1]."""
    return tf.cast(center_view(images, size), tf.float32) / 255.0


def _decoded_views(encoded: tf.Tensor, size: int, channels: int, rendering: Rendering) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the views float32 [N, size, size, C] in [0, 1] of encoded images, and which bytes are images, bool [N].

    A graph cannot catch an error; a data set passes over elements that raise one. Each element brings its number along,
    so those that are left find their rows.
    """
    count = tf.size(encoded, tf.int64)

    def view(number: tf.Tensor, content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number, center_view(decode_in_graph(content, channels, rendering), size)

    images = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))
    images = images.map(view, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
    # One more, so that there is always a batch to take; its row is cut off.
    beyond = tf.data.Dataset.from_tensors((count, tf.zeros([size, size, channels], tf.uint8)))
    numbers, views = images.concatenate(beyond).batch(count + 1).get_single_element()
    rows = tf.scatter_nd(numbers[:, None], tf.cast(views, tf.float32) / 255.0, [count + 1, size, size, channels])
    valid = tf.scatter_nd(numbers[:, None], tf.ones_like(numbers), [count + 1]) > 0
    return rows[:count], valid[:count]


def _kept(value: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Returns the rows of what is valid, zeros or empty strings instead of the others."""
    mask = tf.reshape(valid, [-1, *[1] * (value.shape.rank - 1)])
    return tf.where(mask, value, tf.zeros([], value.dtype) if value.dtype != tf.string else tf.constant(""))


def _check(material: Material) -> None:
    require_servable_name(material.name)


def _write(material: Material, folder: Path) -> dict[str, str]:
    signatures = write_saved_model(material.parts, folder, material.settings)
    examples = {name: _example(material, name) for name in signatures}
    write_warmup(folder, warmup_requests(material.name, examples, batch_sizes=_WARM_UP_ROWS))
    return {".": "float32"}


def _describe(material: Material, folder: Path, figures: Mapping[str, FileFigures]) -> None:
    parts = material.parts
    loaded = tf.saved_model.load(str(folder))
    readme = serving_readme(
        name=material.name,
        image_size=parts.size,
        channels=parts.channels,
        signatures={
            name: Signature(function.structured_input_signature[1], function.structured_outputs)
            for name, function in loaded.signatures.items()
        },
        class_names=parts.class_names,
        about=material.about,
        latency=_latency(figures["."]),
    )
    (folder / "README.txt").write_text(readme, encoding="utf-8")


def _latency(figures: FileFigures) -> str:
    """Returns what the comparison has measured, on the machine of the export."""
    if figures.milliseconds is None:
        return ""
    machine = describe_machine()
    return (
        f"{figures.milliseconds:.1f} ms for one image at a time from pixels to outputs, median, without a server, on "
        f"the machine of the export ({machine.processor}, {machine.cores} cores). The outputs differ from those of the "
        f"Keras model by {figures.largest_difference['features']:.1g} at most in features of up to "
        f"{figures.largest_value['features']:.3g}, on {figures.images} images."
    )


def _has_default_floats(material: Material) -> bool:
    return material.settings.serving_default == "floats"


def _example(material: Material, signature: str) -> dict[str, np.ndarray]:
    """Returns the inputs of a warm-up request: real images, as users send them."""
    images = [tf.io.decode_png(content) for content in material.encoded]
    if signature == "from_jpeg":
        return {"encoded": np.array([tf.io.encode_jpeg(image).numpy() for image in images], object)}
    if signature == "float_images" or (signature == "serving_default" and _has_default_floats(material)):
        views = [center_view(image, material.parts.size).numpy() for image in images]
        return {"images": np.stack(views).astype(np.float32) / 255.0}
    # The images of one request are of one size.
    return {"images": images[0].numpy()[None]}


def read_saved_model(path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the outputs of all signatures, as "signature/output"; runs in a fresh process."""
    import tensorflow as tf

    signatures = tf.saved_model.load(path).signatures
    views = inputs["views"].astype(np.float32) / 255.0
    ends = np.cumsum(inputs["lengths"])
    encoded = [
        inputs["encoded"][end - length : end].tobytes() for end, length in zip(ends, inputs["lengths"], strict=True)
    ]
    images = [tf.io.decode_image(content, expand_animations=False)[None] for content in encoded]

    def float_images(rows: slice) -> dict[str, np.ndarray]:
        return signatures["float_images"](images=tf.constant(views[rows]))

    def from_jpeg(rows: slice) -> dict[str, np.ndarray]:
        return signatures["from_jpeg"](encoded=tf.constant(encoded[rows]))

    found = {"float_images": in_batches(float_images, len(views)), "from_jpeg": in_batches(from_jpeg, len(views))}
    # Images of different sizes cannot share a batch.
    one_by_one = [slice(number, number + 1) for number in range(len(images))]
    pixels = "from_pixels" if "from_pixels" in signatures else "serving_default"
    for name in (pixels, "embed"):
        if name in signatures:
            signature = signatures[name]
            found[name] = in_batches(lambda row: signature(images=images[row.start]), one_by_one)  # noqa: B023
    outputs = {f"{name}/{key}": value for name, result in found.items() for key, value in result.items()}
    # Names of classes are bytes in TensorFlow.
    outputs = {
        name: np.char.decode(value.astype(bytes)) if value.dtype == object else value for name, value in outputs.items()
    }
    return outputs | milliseconds(lambda: signatures[pixels](images=images[0]))


def _compare(replayed: Replayed) -> dict[str, Any]:
    """Returns the figures of the signature that is farthest from the source, and those of each signature."""
    expected = {name: value for name, value in replayed.expected.items() if name != "embeddings"}
    found, class_names = replayed.found, replayed.parts.class_names
    signatures: dict[str, Any] = {}
    pixels = _PIXELS if f"{_PIXELS}/features" in found else "serving_default"
    for name in ("float_images", "from_jpeg", pixels):
        outputs = {key.partition("/")[2]: value for key, value in found.items() if key.startswith(f"{name}/")}
        signatures[name] = compare_outputs(expected, outputs, replayed.labels)
        if class_names is None or name == "float_images":
            continue
        if not np.array_equal(outputs["label"], np.array(class_names)[outputs["logits"].argmax(1)]):
            raise ExportError(f"The label of the signature {name} is not that of its largest logit. Report this.")
    if not found["from_jpeg/valid"].all():
        raise ExportError("The signature from_jpeg takes real images for invalid ones. Report this.")
    worst = dict(max(signatures.values(), key=lambda figures: figures["largest_difference"]["features"]))
    if "embeddings" in replayed.expected:
        embeddings = replayed.expected["embeddings"]
        difference = float(np.abs(found["embed/embeddings"] - embeddings).max())
        worst["largest_difference"] = {**worst["largest_difference"], "embeddings": difference}
        worst["largest_value"] = {**worst["largest_value"], "embeddings": float(np.abs(embeddings).max())}
    return {**worst, "signatures": signatures}


SAVED_MODEL = Format(
    files=("saved_model.pb",),
    write=_write,
    read=read_saved_model,
    compare=_compare,
    check=_check,
    describe=_describe,
    settings=SavedModelSettings,
    write_beside=lambda folder, name: write_config_files(folder, name=name),
    beside=("model.config", "batching.config"),
)
