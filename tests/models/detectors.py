"""Small detectors and batches for tests."""

import keras
import numpy as np
import tensorflow as tf

from barlowtf import augment
from barlowtf.models import make_encoder
from barlowtf.models.detector import DetectionBatch, Detector, DetectorSettings, split_encoder
from barlowtf.models.layers import Layers
from barlowtf.models.resnet import detector_cut
from barlowtf.optim import MomentumSGD
from tests.weights import randomized

SETTINGS = DetectorSettings(
    anchor_sizes=(16.0, 32.0),
    anchors_sampled=16,
    candidates=(40, 30),
    proposals=(20, 12),
    regions=16,
    detections=10,
    score=0.01,
)
NAME, SIDE, PLACES = "resnet10_w0p0625", 64, 3


def encoder_of(name=NAME, seed=3, **options):
    return make_encoder(name, **{"image_shape": (None, None, 3), "stem": "imagenet", "seed": seed, **options})


def parts_of(encoder):
    return split_encoder(encoder, *detector_cut(encoder))


def small_parts():
    """Two convolutions: a step of a ResNet takes several times as long to trace."""
    layers = Layers("float32", 0)
    images = keras.Input((None, None, 3))
    x = layers.normalization(layers.convolution(images, 8, 17, 16, name="conv1"), name="bn1")
    x = layers.relu(x, name="last_of_trunk")
    x = layers.normalization(layers.convolution(x, 16, 3, 2, name="conv2"), name="bn2")
    x = layers.relu(x, name="last_of_head")
    encoder = randomized(keras.Model(images, keras.layers.GlobalAveragePooling2D()(x)))
    return split_encoder(encoder, "last_of_trunk", "last_of_head")


def detector_of(parts=None, *, masks=True, classes=2, settings=SETTINGS):
    detector = Detector(
        parts or small_parts(),
        classes,
        settings,
        masks=masks,
        prepare=lambda images: tf.cast(images, tf.float32) / 128.0 - 1.0,
        seed=4,
    )
    detector.compile(MomentumSGD(0.05))
    detector.optimizer.build(detector.trainable_variables)
    return detector


def batch_of(count=4, *, side=SIDE, objects=2, masks=True, seed=0):
    r = np.random.default_rng(seed)
    corners = r.uniform(0, 30, (count, PLACES, 2))
    boxes = np.concatenate([corners, corners + r.uniform(12, 30, (count, PLACES, 2))], axis=-1)
    return DetectionBatch(
        np.pad(r.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8), [(0, 0), *[(0, side - SIDE)] * 2, (0, 0)]),
        np.full((count, 2), SIDE, np.float32),
        boxes.astype("f4"),
        r.integers(0, 2, (count, PLACES)).astype("i4"),
        np.arange(PLACES) < np.full((count, 1), objects),
        r.uniform(size=(count, PLACES, 28, 28)) < 0.5 if masks else np.zeros((count, PLACES, 0, 0), bool),
        augment.example_seeds(7, tf.constant(0, tf.int64), tf.range(count, dtype=tf.int64)).numpy(),
    )


def constants(batch):
    return DetectionBatch(*map(tf.constant, batch))
