"""Local views in a training step: their batch, the loss over pairs, replicas, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.config import load_recipe
from barlowtf.encoders.building import build_model, check_encoder
from barlowtf.errors import ConfigError
from barlowtf.losses import ViewEmbeddings, bind
from barlowtf.models import BarlowTwins
from barlowtf.models.layers import Layers
from tests.small_models import small_model, views

LOCAL_SIZE = 5


def convolution():
    """An encoder of images of any size."""
    layers = Layers("float32", 0)
    images = keras.Input((None, None, 3))
    x = layers.normalization(layers.convolution(images, 8, 3, 1, name="conv"), name="bn")
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(layers.relu(x, name="relu")))


def batch(count, local, pairs=1):
    """Views a and b of each pair, one pair after the other, and local views; the halves differ in brightness."""
    r = np.random.default_rng(1)
    parts = [np.concatenate(side) for side in zip(*(views(count, seed) for seed in range(pairs)), strict=True)]
    parts.append(r.standard_normal((local * pairs * count, LOCAL_SIZE, LOCAL_SIZE, 3)).astype(np.float32))
    for part in parts:
        bright = np.arange(len(part)) % count >= count // 2
        part[bright] = 1.5 * part[bright] + 0.5
    return tuple(parts)


@pytest.mark.parametrize("loss", ["barlow_twins", "vicreg"])
def test_a_step_takes_the_mean_over_pairs_with_a_full_view(loss):
    data = batch(8, local=3)
    model = small_model(convolution, loss=bind(loss), local_views=3)
    # Each side and all local views together: three batches with statistics of their own.
    z_a, z_b, z_local = (model(part, training=True) for part in data)
    embedded = [ViewEmbeddings(z_a), ViewEmbeddings(z_b)]
    embedded += [ViewEmbeddings(rows, local=True) for rows in tf.split(z_local, 3)]
    expected = float(bind(loss).compute(embedded)["total"])
    logs = model.training_logs(tuple(map(tf.constant, data)))
    # float32
    assert float(logs["loss"]) == pytest.approx(expected, rel=1e-5)
    assert int(logs["first_nonfinite"]) == -1
    copy = BarlowTwins.from_config(model.get_config())
    assert copy.local_views == 3


def test_a_tensor_that_is_not_finite_is_named():
    model = small_model(convolution, local_views=2)
    *full, local = batch(4, local=2)
    local[3, 2, 1, 0] = np.nan
    logs = model.training_logs(tuple(map(tf.constant, (*full, local))))
    assert model.checked_names[int(logs["first_nonfinite"])] == "images of local views"


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "pairs"), [("vicreg", 1), ("mixed_barlow_twins", 1), ("mixed_barlow_twins", 2)])
def test_two_replicas_take_the_step_of_one(two_replicas, loss, pairs):
    local = 2
    data = batch(16, local, pairs)

    def per_replica(context):
        first = 8 * context.replica_id_in_sync_group
        rows = np.concatenate([16 * number + first + np.arange(8) for number in range(local * pairs)])
        sides = rows[: 8 * pairs]
        return tuple(tf.constant(part[chosen]) for part, chosen in zip(data, (sides, sides, rows), strict=True))

    options = {"loss": bind(loss), "local_views": local, "pairs": pairs}
    with two_replicas.scope():
        spread = small_model(convolution, **options)
    alone = small_model(convolution, **options)
    alone.set_weights(spread.get_weights())
    shares = two_replicas.experimental_distribute_values_from_function(per_replica)
    step = tf.function(lambda data: two_replicas.run(spread.training_logs, args=(data,)))
    step_of_one = tf.function(alone.training_logs)
    for _ in range(2):
        one = step_of_one(tuple(map(tf.constant, data)))
        two = {name: value.values[0] for name, value in step(shares).items()}
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
    # Two steps, so that a wrong first gradient shows; float32 sums in another order.
    for a, b in zip(spread.weights, alone.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5, err_msg=a.path)


def test_what_does_not_fit_raises():
    with pytest.raises(ValueError, match="Invalid local_views: received 2 with micro_batch = 4"):
        small_model(convolution, local_views=2, micro_batch=4)
    with pytest.raises(ValueError, match="Invalid batch: received 2 batches of views, expected 3 with local_views = 2"):
        small_model(convolution, local_views=2).training_logs(tuple(map(tf.constant, views(4))))


def test_a_recipe_makes_an_encoder_of_any_size_and_names_its_stem():
    overrides = ["model.encoder=resnet10_w0p0625", "augment.local.count=4", "augment.local.size=8"]
    model = build_model(load_recipe("digits", overrides), steps_per_epoch=3)
    assert model.local_views == 4 and model.encoder.input_shape == (None, None, None, 1)
    with pytest.raises(ConfigError, match=r"model\.stem: received auto, .* where augment\.local\.size differs"):
        check_encoder(load_recipe("digits", [*overrides, "model.stem=auto"]))
    with pytest.raises(ConfigError, match=r"train\.micro_batch: received 16, expected none where augment\.local"):
        load_recipe("digits", [*overrides, "train.micro_batch=16"])
    with pytest.raises(ConfigError, match=r"augment\.local\.area: received \[0\.5, 0\.1\], expected a range"):
        load_recipe("digits", [*overrides, "augment.local.area=[0.5, 0.1]"])
