"""A small export to serve. TensorFlow starts inside the fixtures: other tests here do without."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

CLASSES = ["cat", "dog", "émeu"]
SIZE = 16


@pytest.fixture(scope="session")
def encoded():
    """Returns the bytes of a file with an image."""

    def encoded(image, kind="JPEG"):
        file = io.BytesIO()
        Image.fromarray(image).save(file, kind, quality=95)
        return file.getvalue()

    return encoded


@pytest.fixture(scope="session")
def images():
    """Three images, uint8 [3, 20, 27, 3], from dark to bright."""
    brightness = np.float32([0.1, 0.5, 1]).reshape(3, 1, 1, 1)
    return np.uint8(np.random.default_rng(1).integers(0, 256, (3, 20, 27, 3)) * brightness)


@pytest.fixture(scope="session")
def export(tmp_path_factory, images, encoded):
    """NAME/ with versions 1 and 2, of equal weights, and the files around them."""
    import tensorflow as tf

    from barlowtf.export.serving import write_serving_files
    from barlowtf.export.warmup import warmup_requests, write_warmup
    from tests.saved_models import signatures_of

    folder = tmp_path_factory.mktemp("export") / "birds"
    save_model(folder / "1")
    shutil.copytree(folder / "1", folder / "2")
    signatures = signatures_of(tf.saved_model.load(folder / "2"))
    write_serving_files(
        folder, 2, name="birds", image_size=SIZE, channels=3, signatures=signatures, class_names=CLASSES
    )
    files = np.array(
        [encoded(image, kind) for image, kind in zip(images, ("JPEG", "PNG", "JPEG"), strict=True)], object
    )
    examples = {
        "serving_default": {"images": images},
        "from_jpeg": {"encoded": files},
        "float_images": {"images": np.float32(images[:, :SIZE, :SIZE]) / 255},
    }
    write_warmup(folder / "2", warmup_requests("birds", examples))
    return folder


def save_model(folder):
    """Writes a thin encoder with a head and the signatures of an export."""
    import keras
    import tensorflow as tf

    from barlowtf.export.plain import folded_encoder
    from barlowtf.models import make_encoder

    keras.utils.set_random_seed(0)
    encoder = make_encoder("resnet18_w0p0625", image_shape=(None, None, 3), stem="half")
    pixels = keras.Input((None, None, 3))
    features = folded_encoder(encoder)(pixels)
    spread = keras.initializers.RandomNormal(stddev=10, seed=0)  # wide, so that the images differ in their class
    logits = keras.layers.Dense(len(CLASSES), kernel_initializer=spread)(features)
    model = keras.Model(pixels, [features, logits])

    def float_images(images):
        features, logits = model((images - 0.5) / 0.25, training=False)
        label = tf.gather(tf.constant(CLASSES), tf.argmax(logits, axis=-1))
        return {"features": features, "logits": logits, "probabilities": tf.nn.softmax(logits), "label": label}

    def serving_default(images):
        resized = tf.image.resize(tf.cast(images, tf.float32), (SIZE, SIZE), antialias=True)
        return float_images(tf.ensure_shape(resized, (None, SIZE, SIZE, 3)) / 255)

    def decode(file):
        start = tf.strings.substr(file, 0, 3)
        valid = tf.reduce_any(tf.equal(start, tf.constant([b"\xff\xd8\xff", b"\x89PN"])))
        image = tf.cond(
            valid,
            lambda: tf.image.resize(tf.io.decode_image(file, 3, expand_animations=False), (SIZE, SIZE), antialias=True),
            lambda: tf.zeros((SIZE, SIZE, 3)),
        )
        return tf.ensure_shape(image, (SIZE, SIZE, 3)) / 255, valid

    def from_jpeg(encoded):
        kinds = (tf.TensorSpec((SIZE, SIZE, 3)), tf.TensorSpec((), tf.bool))
        decoded, valid = tf.map_fn(decode, encoded, fn_output_signature=kinds)
        outputs = {
            name: tf.where(tf.reshape(valid, [-1] + [1] * (value.shape.rank - 1)), value, tf.zeros_like(value))
            for name, value in float_images(decoded).items()
        }
        return outputs | {"valid": valid}

    archive = keras.export.ExportArchive()
    archive.track(model)
    pictures = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
    archive.add_endpoint("serving_default", serving_default, [pictures])
    archive.add_endpoint("from_jpeg", from_jpeg, [tf.TensorSpec((None,), tf.string, name="encoded")])
    archive.add_endpoint("float_images", float_images, [tf.TensorSpec((None, SIZE, SIZE, 3), name="images")])
    archive.write_out(str(folder), verbose=False)
