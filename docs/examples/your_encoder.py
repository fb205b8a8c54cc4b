# %% [markdown]
# # An encoder of your own
#
# A recipe names its encoder: one that barlowtf brings, or a function in a file of yours. The function returns a Keras
# model from normalized images [N, H, W, C] to features [N, d]. It stays in a file, because whoever loads the run later
# needs it, too.

# %%
from pathlib import Path

Path("runs").mkdir(exist_ok=True)
Path("runs/my_encoder.py").write_text('''
import keras
from keras import layers


def make(*, image_shape, dtype, seed):
    """Returns a network of four convolutions: images [N, H, W, C] -> features [N, 128]."""
    keras.utils.set_random_seed(seed)
    images = keras.Input(image_shape, dtype="float32")
    x = images
    for width, stride in ((32, 1), (64, 2), (128, 1), (128, 2)):
        x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False, dtype=dtype)(x)
        x = layers.Activation("relu", dtype=dtype)(layers.BatchNormalization(dtype=dtype)(x))
    return keras.Model(images, layers.GlobalAveragePooling2D(dtype="float32")(x))
''')

# %% [markdown]
# `model.stem` belongs to the built-in networks; "auto" leaves it to yours. Everything else is as for any run: it is
# measured, it resumes after an interruption, and it can be exported.

# %%
from barlowtf.config import load_recipe
from barlowtf.experiment import PretrainRequest, pretrain

run = Path("runs/example-own-encoder")
settings = ["model.encoder=runs/my_encoder.py:make", "model.stem=auto", "train.epochs=4"]
info = pretrain(PretrainRequest(load_recipe("digits", settings), run))
print(f"kNN top-1: {info.result.knn_top1_before:.1%} -> {info.result.knn_top1:.1%}")

# %% [markdown]
# A run may come from anybody, so loading one runs the code it names only if you say that you trust it.

# %%
import barlowtf.encoders

encoder = barlowtf.encoders.load(str(run), trust=True)
print(f"features: {encoder.width}, parameters: {encoder.model.count_params():,}")

# %% [markdown]
# On the command line:
#
# ```sh
# barlowtf pretrain --config digits --set model.encoder=runs/my_encoder.py:make --set model.stem=auto --run-dir runs/own
# ```
#
# More about encoders: [Extending](../extending.md#an-encoder).
