"""The estimate of a step's memory: what a loss and its parts add."""

import keras
import pytest

from barlowtf.config.section import Section
from barlowtf.losses import Loss, Parts, bind
from barlowtf.models import make_projector
from barlowtf.models.memory import estimate_memory


class Settings(Section):
    """No settings."""


def estimate(loss, **options):
    images = keras.Input((4, 4, 3))
    encoder = keras.Model(images, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 1)(images)))
    projector = make_projector(5, (7,))
    return estimate_memory(encoder, projector, loss=loss, images=10, optimizer_slots=1, activation_bytes=4, **options)


def own(**options):
    return bind(Loss("own", Settings, (), lambda views, settings: {}, **options))


def test_the_loss_estimates_its_own_share():
    assert estimate(own())["loss"] == 4 * (4 * 10 * 7)
    assert estimate(own(memory=lambda images, width, settings: images + width))["loss"] == 4 * (10 + 7)
    # Three square matrices, of the smaller of N and D.
    assert estimate(bind("barlow_twins"))["loss"] == 4 * (4 * 10 * 7 + 3 * 7 * 7)


@pytest.mark.parametrize(("target", "copies"), [("none", 1), ("stop_gradient", 1), ("moving_average", 2)])
def test_a_moving_average_keeps_the_weights_twice(target, copies):
    parameters = (3 * 5 + 5) + 5 * 7
    found = estimate(own(parts=lambda settings: Parts(target=target)))
    assert found["weights"] == copies * 4 * parameters
    assert found["gradients"] == 4 * parameters


def test_mixtures_and_local_views_are_more_images():
    # Input, convolution, average; the projector's input and output.
    outputs = (4 * 4 * 3 + 4 * 4 * 5 + 5) + (5 + 7)
    assert estimate(own())["activations"] == 4 * 2 * 10 * outputs
    assert estimate(own(parts=lambda settings: Parts(mixture=True)))["activations"] == 4 * 3 * 10 * outputs
    images = keras.Input((2, 2, 3))
    small = keras.Model(images, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 1)(images)))
    local = estimate(own(), local_encoder=small, local_images=30)["activations"] - 4 * 2 * 10 * outputs
    assert local == 4 * 30 * ((2 * 2 * 3 + 2 * 2 * 5 + 5) + (5 + 7))
