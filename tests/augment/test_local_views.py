"""Local views: view b's operations by streams of their own, and nothing else changes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import TwoViews, example_seeds, local_streams
from barlowtf.config.schema import Augment, View

COUNT, LOCAL, SIZE = 5, 3, 8


def _inputs():
    r = np.random.default_rng(0)
    crops = [tf.constant(r.integers(0, 256, (COUNT, 12, 12, 3)).astype(np.uint8)) for _ in range(2)]
    local = tf.constant(r.integers(0, 256, (COUNT, LOCAL, SIZE, SIZE, 3)).astype(np.uint8))
    return *crops, example_seeds(3, 1, tf.range(COUNT, dtype=tf.int64)), local


def _layer(**changes):
    view_b = View(blur=0.5, solarize=0.3, vertical_flip=0.5, turn=0.5, channel_drop=0.3)
    return TwoViews(Augment(**{"size": 12, "gain": 0.2, "rotation": 20.0, "view_b": view_b, **changes}), 3)


def test_each_local_view_is_made_by_its_stream_and_the_full_views_stay():
    *full, local = inputs = _inputs()
    layer = _layer()
    view_a, view_b, views = layer(inputs)
    assert views.shape == (LOCAL * COUNT, SIZE, SIZE, 3)
    for one, other in zip((view_a, view_b), layer(tuple(full)), strict=True):
        np.testing.assert_array_equal(one, other)
    for number, (_, stream) in enumerate(local_streams(LOCAL)):
        alone = layer._view(local[:, number], full[2], [stream], layer.settings.view_b)
        # The products of the blur may be summed in another order, over the deviation 0.225.
        np.testing.assert_allclose(views[number * COUNT : (number + 1) * COUNT], alone, rtol=0, atol=5e-6)


@pytest.mark.slow
def test_local_views_compile_with_xla():
    inputs = _inputs()
    # No solarize: a pixel may tip over at its threshold.
    view = View(turn=0.5, blur=0.5, solarize=0.0)
    layer = _layer(view_a=view, view_b=view)
    compiled = tf.function(lambda *inputs: layer(inputs), jit_compile=True)(*inputs)
    for plain, fused in zip(layer(inputs), compiled, strict=True):
        # Fused multiply-add in positions up to 12, over the deviation 0.225.
        np.testing.assert_allclose(fused, plain, rtol=0, atol=1e-4)


def test_shapes_of_local_views_are_known():
    inputs = [keras.Input(part.shape[1:], dtype=part.dtype.name) for part in _inputs()]
    model = keras.Model(inputs, _layer()(tuple(inputs)))
    shapes = [(None, 12, 12, 3), (None, 12, 12, 3), (None, SIZE, SIZE, 3)]
    assert [output.shape for output in model.outputs] == shapes
