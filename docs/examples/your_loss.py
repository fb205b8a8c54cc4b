# %% [markdown]
# # A loss of your own
#
# A `Loss` has settings, names for its terms, and a function of the embeddings of the views. This one pulls the two
# views of an image together and pushes all images apart (arXiv:2005.10242).

# %%
import tensorflow as tf
from pydantic import Field

from barlowtf.config import Section
from barlowtf.distribute import all_gather
from barlowtf.losses import Loss, bind


class Settings(Section):
    """Settings of this loss."""

    weight: float = Field(1.0, ge=0.0, description="weight of the uniformity")


def compute(views, settings):
    """Returns how far the views of an image are apart, and how close different images are."""
    # The global batch: every replica returns the same numbers.
    a, b = (all_gather(tf.math.l2_normalize(tf.cast(view.z, tf.float32), axis=1)) for view in views)
    alignment = tf.reduce_mean(tf.reduce_sum(tf.square(a - b), axis=1))
    uniformity = (crowding(a) + crowding(b)) / 2.0
    return {"total": alignment + settings.weight * uniformity, "alignment": alignment, "uniformity": uniformity}


def crowding(z):
    """Returns the logarithm of the mean of exp(-2 distance^2) over all pairs of different images."""
    others = 1.0 - tf.eye(tf.shape(z)[0])
    closeness = tf.exp(-4.0 * (1.0 - tf.matmul(z, z, transpose_b=True)))
    return tf.math.log(tf.reduce_sum(closeness * others) / tf.reduce_sum(others))


LOSS = Loss("alignment_uniformity", Settings, terms=("alignment", "uniformity"), compute=compute)

# %% [markdown]
# `bind` checks the settings and gives what a model takes. The terms appear in the logs under their names.

# %%
import keras
import numpy as np
from sklearn.datasets import load_digits

from barlowtf.models import BarlowTwins, make_encoder, make_projector

keras.utils.set_random_seed(0)
images = tf.image.resize(load_digits().images[..., None] / 16, (16, 16)).numpy()
shifted = np.roll(images, 1, axis=2)  # Views as simple as can be: an image, and the same one a pixel to the right.

encoder = make_encoder("resnet10_w0p25", image_shape=(16, 16, 1))
model = BarlowTwins(encoder, make_projector(encoder.output_shape[-1], (64,)), loss=bind(LOSS, {"weight": 0.5}))
model.compile(keras.optimizers.AdamW(1e-3))
history = model.fit(images, shifted, batch_size=64, epochs=3, verbose=0).history
for name in ("loss", "alignment", "uniformity"):
    print(f"{name}: {history[name][0]:.3f} in the first epoch, {history[name][-1]:.3f} in the last")

# %% [markdown]
# The first cell, saved as `my_loss.py`, is a loss for recipes and for the command line:
#
# ```sh
# barlowtf pretrain --config digits --set loss.name=my_loss.py:LOSS --set loss.weight=0.5 --run-dir runs/own-loss
# ```
#
# A predictor, a moving-average target and other parts that a loss may ask for: [Extending](../extending.md#a-loss).
