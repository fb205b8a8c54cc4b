# %% [markdown]
# # The encoder in five lines
#
# A finished run holds an encoder: images in, features out. This example loads one, computes the features of images it
# has not seen, and trains a Keras layer on them.
#
# First a short run, four epochs on scanned digits. Where it is finished already, the call returns at once.

# %%
from pathlib import Path

from barlowtf.config import load_recipe
from barlowtf.experiment import PretrainRequest, pretrain

run = Path("runs/example")
pretrain(PretrainRequest(load_recipe("digits", ["train.epochs=4"]), run))

# %% [markdown]
# `features` takes images of any size, as uint8 or as floats in [0, 1], and prepares them as the evaluation does.

# %%
from sklearn.datasets import load_digits

import barlowtf.encoders

encoder = barlowtf.encoders.load(str(run))
digits = load_digits()
images = digits.images[..., None] / 16  # [1797, 8, 8, 1] in [0, 1]
features = encoder.features(images)
print(f"features: {features.shape[1]} for each of {features.shape[0]:,} images")

# %% [markdown]
# Features are what a classifier needs. Every fifth scan was left out of the pre-training, and tests it here.

# %%
import keras
import numpy as np

is_test = np.arange(len(images)) % 5 == 0
keras.utils.set_random_seed(0)
head = keras.Sequential([keras.layers.BatchNormalization(), keras.layers.Dense(10)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
head.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
head.fit(features[~is_test], digits.target[~is_test], epochs=20, verbose=0)
_, accuracy = head.evaluate(features[is_test], digits.target[is_test], verbose=0)
print(f"accuracy: {accuracy:.1%} of {is_test.sum()} test images")

# %% [markdown]
# The network itself is a Keras model. It takes images of its own size, normalized: `encoder.normalize` does that.

# %%
views = np.zeros((2, *encoder.image_shape), np.uint8)
print(f"model: {encoder.model.input_shape} -> {encoder.model(encoder.normalize(views)).shape}")
