import keras
import pytest
import tensorflow as tf
from pydantic import Field

from barlowtf.config.schema import LossSection
from barlowtf.config.section import Section
from barlowtf.errors import ConfigError
from barlowtf.losses import LOSSES, Loss, Mixture, ViewEmbeddings, bind, mean_over_pairs, settle


class Distance(Section):
    """Settings of a loss for tests."""

    weight: float = Field(1.0, ge=0.0)
    shape: tuple[int, ...] = ()


def distances(views, settings):
    """The mean distance of two views."""

    def pair(a, b):
        squares = tf.reduce_mean(tf.math.squared_difference(a.z, b.z))
        return {"squares": squares, "total": settings.weight * squares}

    return mean_over_pairs(pair, views)


DISTANCE = Loss("distance", Distance, ("squares",), distances)


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_keeps_the_contract(name):
    bound = bind(name)
    assert isinstance(bound.loss, Loss) and bound.loss.name == name
    random = tf.random.Generator.from_seed(1)
    drawn = {"scores": random.uniform([8, 5], -1.0, 1.0), "directions": tf.eye(4)}
    views = [ViewEmbeddings(*[random.normal([8, 4]) for _ in range(3)], **drawn) for _ in range(4)]
    mixture = Mixture(random.normal([8, 4]), tf.range(8), tf.constant(0.5))
    views[:2] = [view._replace(mixture=mixture) for view in views[:2]]
    terms = bound.compute(views)
    assert tuple(terms) == ("total", *bound.terms)
    assert all(value.dtype == tf.float32 and value.shape == () for value in terms.values())
    assert bound.memory(8, 4) > 0
    for key, field in bound.loss.settings.model_fields.items():
        assert field.description, key


@pytest.mark.parametrize(
    ("name", "rectangles", "matrices"), [("barlow_twins", 4, 3), ("mixed_barlow_twins", 10, 5), ("vicreg", 6, 2)]
)
def test_memory_is_that_of_the_arrays_named_in_the_source(name, rectangles, matrices):
    # The smaller of both square forms, N×N or D×D.
    assert bind(name).memory(7, 100) == rectangles * 7 * 100 + matrices * 7**2
    assert bind(name).memory(100, 7) == rectangles * 7 * 100 + matrices * 7**2


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("barlow_twins", {"lambd": 0.0051, "form": "auto"}),
        ("mixed_barlow_twins", {"lambd": 0.0051, "form": "auto", "mix": 1.0}),
        ("vicreg", {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}),
    ],
)
def test_weights_are_those_of_the_authors_where_none_is_given(name, published):
    assert bind(name).settings.model_dump() == published


@pytest.mark.parametrize("name", list(LOSSES))
def test_configuration_makes_the_same_loss(name):
    bound = bind(name)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(bound))
    assert again == bound


def test_settings_are_checked_and_completed():
    assert settle(LossSection(name="barlow_twins", lambd=1)).model_dump() == {
        "name": "barlow_twins",
        "lambd": 1.0,
        "form": "auto",
    }
    assert bind(DISTANCE, {"shape": [1, 2]}).settings.shape == (1, 2)
    assert bind(DISTANCE).memory(3, 5) == 60


@pytest.mark.parametrize(
    ("loss", "settings", "words"),
    [
        (
            "barlow_twins",
            {"lambda": 0.1},
            "Unknown setting 'loss.lambda' of loss barlow_twins. Did you mean 'loss.lambd'",
        ),
        (
            "barlow_twins",
            {"lambd": -1.0},
            "Invalid loss.lambd: received -1.0, expected a number greater than or equal to 0",
        ),
        (
            "barlow_twins",
            {"mix": 1.0},
            "Unknown setting 'loss.mix' of loss barlow_twins, a setting of mixed_barlow_twins",
        ),
        ("barlow_twin", {}, "Unknown loss: received 'barlow_twin', expected one of barlow_twins"),
        ("math:pi", {}, "Invalid loss.name: received 'math:pi', a float, expected a losses.Loss"),
        ("missing.py:LOSS", {}, "there is no file missing.py"),
    ],
)
def test_wrong_losses_and_settings_are_named(loss, settings, words):
    with pytest.raises(ConfigError) as caught:
        bind(loss, settings)
    assert words in str(caught.value)


def test_a_loss_that_returns_other_terms_than_it_declares_is_refused():
    broken = bind(Loss("broken", Distance, ("other",), distances))
    with pytest.raises(ValueError, match="received the terms squares, total, expected total, other"):
        broken.compute([ViewEmbeddings(tf.ones([2, 2]))] * 2)


@pytest.mark.parametrize("terms", [("loss",), ("a", "a"), ("total", "b")])
def test_names_that_the_logs_need_are_refused_as_terms(terms):
    with pytest.raises(ValueError, match="Invalid terms of the loss own: received .*, expected names"):
        Loss("own", Distance, terms, distances)


def test_the_mean_over_pairs():
    views = [ViewEmbeddings(tf.constant([[value]])) for value in (0.0, 1.0, 3.0)]
    # Squares of 1, 3 and 2.
    assert float(bind(DISTANCE, {"weight": 3.0}).compute(views)["total"]) == pytest.approx(14.0)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize(
    ("name", "key"), [("barlow_twins", "lambd"), ("mixed_barlow_twins", "mix"), ("vicreg", "variance")]
)
def test_settings_are_finite(name, key, value):
    with pytest.raises(ConfigError, match=f"Invalid loss.{key}: received {value}, expected a .*number"):
        bind(name, {key: value})
