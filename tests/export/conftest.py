"""A thin encoder with head and projector, every weight with a value of its own, and real photographs to feed it."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

from barlowtf.data import center_view
from barlowtf.export import Parts
from barlowtf.models import make_encoder, make_head, make_projector
from tests import weights

SIZE = 24
CLASS_NAMES = ("café", "flower", "sky")
randomized = functools.partial(weights.randomized, reach=0.3)


@pytest.fixture(scope="session")
def parts():
    encoder = randomized(make_encoder("resnet10_w0p0625", image_shape=(None, None, 3), stem="small"))
    return Parts(
        encoder,
        randomized(make_head(32, 3)),
        randomized(make_projector(32, (16, 8))),
        SIZE,
        (0.4, 0.5, 0.6),
        (0.2, 0.25, 0.3),
        CLASS_NAMES,
    )


@pytest.fixture(scope="session")
def photographs():
    """Crops of the two photographs of scikit-learn, uint8 [64, 50, 60, 3]."""
    r = np.random.default_rng(0)
    images = load_sample_images().images
    corners = [(r.integers(0, 370), r.integers(0, 570)) for _ in range(64)]
    return np.stack([images[k % 2][top : top + 50, left : left + 60] for k, (top, left) in enumerate(corners)])


@pytest.fixture(scope="session")
def views(photographs):
    return center_view(tf.constant(photographs), SIZE).numpy()


@pytest.fixture(scope="session")
def expected(parts, views):
    """What the parts give, computed one after the other by hand."""
    images = (views.astype(np.float32) / 255 - np.float32(parts.mean)) / np.float32(parts.std)
    features = np.asarray(parts.encoder(images, training=False))
    logits = np.asarray(parts.head(features))
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return {
        "features": features,
        "logits": logits,
        "probabilities": exponentials / exponentials.sum(axis=1, keepdims=True),
        "embeddings": np.asarray(parts.projector(features, training=False)),
    }
