"""Models that no memory holds."""

import pytest
import tensorflow as tf

from barlowtf.config import load_recipe
from barlowtf.encoders import building
from barlowtf.encoders.building import build_model
from barlowtf.errors import ConfigError
from barlowtf.models import make_encoder


def test_weights_that_do_not_fit_are_one_line(monkeypatch):
    """The allocation is not made: where memory is overcommitted it would succeed."""

    def refuse(recipe):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(building, "build_parts", refuse)
    recipe = load_recipe("digits", ["model.projector=[60000, 60000]"])
    with pytest.raises(
        ConfigError, match="do not fit into memory: encoder resnet10_w0p25, projector 60000, 60000"
    ) as caught:
        build_model(recipe, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", ["w0p001", "w1000"])
def test_widths_of_no_use(width):
    with pytest.raises(ValueError, match="expected a width from 1/64 .* to 16"):
        make_encoder(f"resnet18_{width}", image_shape=(16, 16, 1))
