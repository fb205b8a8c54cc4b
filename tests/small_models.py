"""Models whose training step takes no time, and views to train them on."""

import keras
import numpy as np

from barlowtf.models import BarlowTwins, make_encoder, make_projector
from barlowtf.models.layers import Layers

SIZE = 8


def resnet():
    return make_encoder("resnet10_w0p125", image_shape=(SIZE, SIZE, 3), stem="small", dtype="float32")


def convolution():
    """Where the depth shows nothing: the step of two replicas of a ResNet takes seconds to trace."""
    layers = Layers("float32", 0)
    images = keras.Input((SIZE, SIZE, 3))
    x = layers.normalization(layers.convolution(images, 8, 3, 1, name="conv"), name="bn")
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(layers.relu(x, name="relu")))


def small_model(encoder=resnet, **options):
    encoder = encoder()
    projector = make_projector(encoder.output_shape[-1], (16, 16), dtype="float32")
    model = BarlowTwins(encoder, projector, **options)
    model.compile(optimizer=keras.optimizers.SGD(0.01))
    model.optimizer.build(model.trainable_variables)
    return model


def views(count, seed=0):
    r = np.random.default_rng(seed)
    base = r.standard_normal((count, SIZE, SIZE, 3))
    return tuple((base + 0.3 * r.standard_normal(base.shape)).astype(np.float32) for _ in range(2))
