"""A SavedModel that TensorFlow Serving mounts as it is: named signatures, preprocessing inside."""

from pathlib import Path

import tensorflow as tf

from barlowtf.data import center_view, decode
from barlowtf.export.network import Parts, inference_network
from barlowtf.export.plain import folded_encoder
from barlowtf.export.serving import Signature

_Outputs = dict[str, tf.Tensor]
CLASS_NAMES_FILE = "class_names.txt"


def write_saved_model(parts: Parts, folder: Path) -> dict[str, Signature]:
    """Writes a SavedModel and returns its signatures by name.

    ::

        serving_default   images uint8 [N, H, W, C], any height and width -> outputs
        from_jpeg         encoded string [N], JPEG, PNG, BMP or GIF -> outputs and valid bool [N]
        float_images      images float32 [N, S, S, C] in [0, 1], views as they are -> outputs
        embed             images uint8 [N, H, W, C] -> embeddings float32 [N, D]; where there is a projector

    Outputs are features float32 [N, d]; with a head also logits and probabilities float32 [N, K], and label string [N],
    the name of the most probable class. Images become the center view that the protocols evaluate. Bytes that are no
    image give a row of zeros, an empty label and valid = false. The rows of a batch do not depend on one another.

    Args:
        parts: What is exported. Three channels or one.
        folder: New; where there is a head, assets.extra/class_names.txt lies in it.
    """
    network = inference_network(parts)
    views = tf.TensorSpec([None, parts.size, parts.size, parts.channels], tf.float32, name="images")
    images = tf.TensorSpec([None, None, None, parts.channels], tf.uint8, name="images")
    encoded = tf.TensorSpec([None], tf.string, name="encoded")
    names = None if parts.class_names is None else tf.constant(parts.class_names)

    def outputs_of(images: tf.Tensor) -> _Outputs:
        result = network(images, training=False)
        if names is None:
            return {"features": result}
        return {**result, "label": tf.gather(names, tf.argmax(result["logits"], axis=1))}

    def serving_default(images: tf.Tensor) -> _Outputs:
        return outputs_of(_center_views(images, parts.size))

    def from_jpeg(encoded: tf.Tensor) -> _Outputs:
        views, valid = _decoded_views(encoded, parts.size, parts.channels)
        return {name: _kept(value, valid) for name, value in outputs_of(views).items()} | {"valid": valid}

    projector = None if parts.projector is None else folded_encoder(parts.projector)

    def embed(images: tf.Tensor) -> _Outputs:
        features = outputs_of(_center_views(images, parts.size))["features"]
        return {"embeddings": projector(features, training=False)}

    functions = {
        "serving_default": (serving_default, images),
        "from_jpeg": (from_jpeg, encoded),
        "float_images": (outputs_of, views),
        **({} if projector is None else {"embed": (embed, images)}),
    }
    concrete = {
        name: tf.function(function).get_concrete_function(specification)
        for name, (function, specification) in functions.items()
    }
    # Not keras.export.ExportArchive, which stores every weight twice.
    module = tf.Module()
    module.weights = [variable.value for variable in network.variables]
    module.projector_weights = [] if projector is None else [variable.value for variable in projector.variables]
    tf.saved_model.save(module, str(folder), concrete)
    if parts.class_names is not None:
        # The place for files of one's own beside a SavedModel.
        (folder / "assets.extra").mkdir()
        (folder / "assets.extra" / CLASS_NAMES_FILE).write_text("".join(f"{name}\n" for name in parts.class_names))
    return {
        name: Signature({specification.name: specification}, concrete[name].structured_outputs)
        for name, (_, specification) in functions.items()
    }


def _center_views(images: tf.Tensor, size: int) -> tf.Tensor:
    """Returns uint8 images of one size as float32 views [N, size, size, C] in [0, 1]."""
    return tf.cast(center_view(images, size), tf.float32) / 255.0


def _decoded_views(encoded: tf.Tensor, size: int, channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the views float32 [N, size, size, C] in [0, 1] of encoded images, and which bytes are images, bool [N].

    A graph cannot catch an error; a data set passes over elements that raise one. Each element brings its number along,
    so those that are left find their rows.
    """
    count = tf.size(encoded, tf.int64)

    def view(number: tf.Tensor, content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number, center_view(decode(content, channels), size)

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
