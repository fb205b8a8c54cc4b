# %% [markdown]
# # `model.fit` on your own `tf.data` pipeline
#
# `BarlowTwins` is a Keras model. It trains on batches of two views of the same images, wherever they come from. This
# example makes the views with layers of Keras, without a recipe and without a run folder.

# %%
import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from barlowtf.models import BarlowTwins, make_encoder, make_projector

keras.utils.set_random_seed(0)
digits = load_digits()
images = tf.image.resize(digits.images[..., None] / 16, (16, 16)).numpy()  # float32 [1797, 16, 16, 1] in [0, 1]
is_test = np.arange(len(images)) % 5 == 0

# %% [markdown]
# Both views of an image must show the same thing in different ways. Choose changes that leave the meaning as it is: a
# digit may be turned a little, but not mirrored.

# %%
augment = keras.Sequential(
    [
        keras.layers.RandomRotation(0.04, fill_mode="constant"),
        keras.layers.RandomTranslation(0.06, 0.06, fill_mode="constant"),
        keras.layers.RandomContrast(0.4, value_range=(0, 1)),
    ]
)
normalize = keras.layers.Rescaling(1 / 0.35, offset=-0.3 / 0.35)


def two_views(batch):
    """Returns two views of each image of a batch."""
    return normalize(augment(batch, training=True)), normalize(augment(batch, training=True))


pipeline = tf.data.Dataset.from_tensor_slices(images[~is_test]).shuffle(2000, seed=0)
pipeline = pipeline.batch(64, drop_remainder=True).map(two_views).prefetch(2)

# %% [markdown]
# Any optimizer of Keras will do; `barlowtf.optim.LARS` is the one of the paper, for large batches.

# %%
encoder = make_encoder("resnet10_w0p25", image_shape=(16, 16, 1))
model = BarlowTwins(encoder, make_projector(encoder.output_shape[-1], (256,)))
model.compile(keras.optimizers.AdamW(2e-3, weight_decay=0.01))


def accuracy():
    """Returns the accuracy of nearest neighbors among the features of the test images."""
    features = encoder.predict(normalize(images), verbose=0)
    neighbors = KNeighborsClassifier(5, metric="cosine").fit(features[~is_test], digits.target[~is_test])
    return neighbors.score(features[is_test], digits.target[is_test])


before = accuracy()
history = model.fit(pipeline, epochs=6, shuffle=False, verbose=0).history
print(f"loss: {history['loss'][0]:.1f} in the first epoch, {history['loss'][-1]:.1f} in the last")
print(f"nearest neighbors: {before:.1%} -> {accuracy():.1%} of {is_test.sum()} test images")

# %% [markdown]
# The file is an encoder for every command. `--config` says how its images are prepared: here as in the recipe `digits`.
#
# ```sh
# barlowtf evaluate --protocol knn --encoder runs/own.keras --config digits
# ```

# %%
from pathlib import Path

Path("runs").mkdir(exist_ok=True)
encoder.save("runs/own.keras")
