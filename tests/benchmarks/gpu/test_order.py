"""Order and rates of the training run are the library's."""

import numpy as np
import pytest


@pytest.mark.parametrize(("size", "batch_size", "seed"), [(50_000, 256, 0), (70_000, 512, 2**31 - 1), (101, 10, 7)])
def test_order_is_the_librarys(gpu, size, batch_size, seed):
    import tensorflow as tf

    from barlowtf.data import step_ids

    for step in (0, 1, 5 * (size // batch_size) + 2):
        epoch, ids = gpu("portable.order").step_ids(step, size=size, batch_size=batch_size, seed=seed)
        expected_epoch, expected = step_ids(tf.constant(step), size=size, batch_size=batch_size, seed=seed)
        assert epoch == int(expected_epoch)
        np.testing.assert_array_equal(ids, expected.numpy())


def test_rates_are_the_librarys(gpu):
    from barlowtf.optim import WarmupCosine

    schedule = gpu("portable.schedule")
    library = WarmupCosine(0.3, batch_size=256, steps_per_epoch=7, epochs=40, warmup_epochs=4, final_scale=0.001)
    settings = schedule.fitted(library.get_config() | {"warmup_epochs": 10}, epochs=40, steps_per_epoch=7)
    # A tenth of 40 epochs is less than the ten of the settings.
    assert settings["warmup_epochs"] == 4.0
    for step in (0, 1, 27, 28, 29, 150, 279, 280, 500):
        # Both compute in float64: the float32 results differ by at most their last bit.
        assert np.isclose(schedule.rate(settings, step), float(library(step)), rtol=1.2e-7, atol=0)


def test_crops_and_draws_are_those_of_the_input_pipeline(gpu):
    import tensorflow as tf

    from barlowtf import data
    from barlowtf.config import load_recipe
    from barlowtf.experiment import training_data

    library, order = gpu("library"), gpu("portable.order")
    recipe = load_recipe("cifar10", ["train.batch_size=8", "train.seed=3"])
    pixels = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    source = data.ArraySource("noise", pixels)
    batches = iter(training_data.make_batches(recipe, source, tf.distribute.get_strategy(), 0, 8))
    for step in range(8):
        expected = next(batches)
        epoch, ids = order.step_ids(step, size=50, batch_size=8, seed=3)
        made = library.two_crops(
            recipe.augment, 3, tf.gather(pixels, ids), tf.constant(ids), tf.constant(epoch, tf.int64)
        )
        for one, other in zip(made, expected, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
