"""What `barlowtf.encoders.load` returns: features of images of any kind and size, facts, controls."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf import data, encoders, places
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.encoders.encoder import model_encoder, normalization_of, require_square
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.models import make_encoder

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    recipe = load_recipe("digits", ["augment.size=8", "model.encoder=resnet10_w0p0625", "data.channels=1"])
    folder = tmp_path_factory.mktemp("runs") / "thin"
    folder.mkdir()
    (folder / "recipe.toml").write_text(dump_recipe(recipe))
    make_encoder("resnet10_w0p0625", image_shape=(8, 8, 1), seed=5).save(folder / "encoder.keras")
    return encoders.load(str(folder))


def test_images_are_prepared_as_the_protocols_prepare_them(encoder):
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), np.uint8)
    features = encoder.features(images)
    assert (features.shape, features.dtype) == ((3, encoder.width), np.float32)
    views = data.center_view(data.decode(tf.constant(images), 1), 8)
    np.testing.assert_array_equal(features, encoder.features_of([views]))
    np.testing.assert_array_equal(features, encoder.features(images.astype(np.float32) / 255))
    assert encoder.features(images[:0]).shape == (0, encoder.width)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8, 1), np.uint8), r"received uint8 \(8, 8, 1\)"),
        (np.zeros((1, 8, 8, 1), np.int64), "received int64"),
        (np.full((1, 8, 8, 1), 255.0), "received values from 255 to 255"),
    ],
)
def test_what_are_no_images_is_refused(encoder, images, message):
    with pytest.raises(ValueError, match=message):
        encoder.features(images)


def test_facts(encoder):
    facts = encoder.facts
    assert (facts.kind, facts.label, facts.feature_width, facts.image_shape) == ("run", "trained", 32, (8, 8, 1))
    assert facts.parameters == encoder.model.count_params()
    assert facts.identity == encoder.identity
    assert encoder.family.torch_names is not None


def test_pixels_are_the_images_themselves(encoder):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
    for pixels in (
        encoders.load("pixels", like=encoder),
        encoders.load("pixels", config=str(encoder.run / "recipe.toml")),
    ):
        np.testing.assert_allclose(pixels.features(images), images.reshape(2, -1) / 255, rtol=1e-6)
        assert (pixels.label, pixels.facts.parameters, pixels.width) == ("pixels", 0, 64)


@pytest.mark.parametrize("spec", places.CONTROLS)
def test_a_control_needs_to_know_what_it_is(spec, encoder):
    with pytest.raises(ConfigError, match=f"Nothing says what --encoder {spec} is. Add --config"):
        encoders.load(spec)
    assert encoders.load(spec, like=encoder).image_shape == encoder.image_shape


def test_a_missing_file_names_all_forms():
    with pytest.raises(CheckpointError, match="No encoder at no/such. Expected a run folder, .* or pixels"):
        encoders.load("no/such")


def test_names_that_keras_gives_do_not_count():
    """The same layers, made as the first and as later ones of a process."""

    def make():
        import keras

        images = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3, kernel_initializer="ones")(images)
        x = keras.layers.Conv2D(4, 3, kernel_initializer="ones")(x)
        return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))

    one, two = (model_encoder("x", "keras", make(), None) for _ in range(2))
    assert one.model.layers[1].name != two.model.layers[1].name
    assert one.identity == two.identity


@pytest.mark.parametrize("shape", [(8, 9, 3), (10**6, 10**6, 3)])
def test_images_that_are_not_square_or_huge_are_refused(shape):
    with pytest.raises(CheckpointError, match="expected square ones|at most 4,096 a side"):
        require_square("x", shape)


def test_models_and_recipes_that_do_not_fit_each_other():
    recipe = load_recipe("digits")
    flat = tf.keras.Sequential([tf.keras.layers.Input((5,)), tf.keras.layers.Dense(2)])
    with pytest.raises(CheckpointError, match=r"flat maps \(None, 5\) to \(None, 2\), expected images"):
        model_encoder("flat", "keras", flat, recipe)
    with pytest.raises(ConfigError, match="it takes 3 channels and the recipe normalizes 2"):
        normalization_of("it", load_recipe("digits", ["augment.mean=[0.5,0.5]", "augment.std=[1.0,1.0]",
                                                      "data.channels=2"]), 3)  # fmt: skip
    with pytest.raises(ConfigError, match=r"how the images of it \(4 channels\) are normalized"):
        normalization_of("it", None, 4)


def test_files_that_are_no_encoder(tmp_path):
    (tmp_path / "encoder.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"encoder\.bin is not an encoder\. Expected"):
        encoders.load(str(tmp_path / "encoder.bin"))
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(CheckpointError, match=r"folder\.keras"):
        encoders.load(str(tmp_path / "folder.keras"))


class Wrong(tf.Module):
    """A SavedModel whose signature takes or gives what no encoder does."""

    def __init__(self, shape, reduce):
        super().__init__()
        self.serve = tf.function(
            lambda images: {"features": tf.reduce_sum(images, reduce)},
            input_signature=[tf.TensorSpec(shape, tf.float32, name="images")],
        )


@pytest.mark.parametrize(
    ("shape", "reduce", "message"),
    [
        ((None, 8), (1,), "Invalid SavedModel .*: received the signatures .*serving_default"),
        ((None, 8, 8, 1), (1, 2, 3), r"maps images \(None, 8, 8, 1\) to features \(None,\), expected features"),
        ((2, 8, 8, 1), (1, 2), "for any number N of images"),
    ],
)
def test_saved_models_that_are_no_encoder(tmp_path, shape, reduce, message):
    module = Wrong(shape, reduce)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.serve)
    with pytest.raises(CheckpointError, match=message):
        encoders.load(str(tmp_path / "model"), config="digits")
