# %% [markdown]
# # Serve the encoder with TensorFlow alone
#
# An export is a SavedModel with the preparation of the images and a classifier inside. What loads it needs TensorFlow,
# and neither Keras nor barlowtf.
#
# The encoder comes from a short run; the classifier is what the protocol `linear-fast` trains on its features.

# %%
from pathlib import Path

from barlowtf.config import load_recipe
from barlowtf.experiment import EvaluateRequest, ExportRequest, PretrainRequest, evaluate, export, pretrain

run = Path("runs/example")
pretrain(PretrainRequest(load_recipe("digits", ["train.epochs=4"]), run))
evaluate(EvaluateRequest(protocols=["linear-fast"], encoders=[str(run)], source="digits"))
record = export(ExportRequest(encoder=str(run), head="linear-fast", out=Path("runs/example-export"), images=64))
print(f"exported: {record.folder}")

# %% [markdown]
# Before the folder gets its name, a fresh process without barlowtf loads it and compares it with the Keras model. From
# here on it is TensorFlow alone.

# %%
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

signatures = tf.saved_model.load(record.folder).signatures
digits = load_digits()
is_test = np.arange(len(digits.images)) % 5 == 0
images = np.round(digits.images[is_test, ..., None] * (255 / 16)).astype(np.uint8)  # [360, 8, 8, 1]

answer = signatures["serving_default"](images=tf.constant(images))
for name, value in sorted(answer.items()):
    print(f"{name}: {value.dtype.name} {value.shape}")
labels = answer["label"].numpy().astype(int)
print(f"right: {np.mean(labels == digits.target[is_test]):.1%} of {len(labels)} test images")

# %% [markdown]
# A second signature takes the bytes of JPEG and PNG files.

# %%
files = [tf.io.encode_png(image).numpy() for image in images[:3]]
answer = signatures["from_jpeg"](encoded=tf.constant(files))
print(f"from files: {answer['label'].numpy().astype(int)}, expected {digits.target[is_test][:3]}")

# %% [markdown]
# TensorFlow Serving takes the folder above the version as it is:
#
# ```sh
# docker run --rm -p 8501:8501 -v "$PWD/runs/example-export:/models/digits" -e MODEL_NAME=digits -t tensorflow/serving
# ```
#
# `README.txt` in the version has a curl line and a client; more in [Serving](../serving.md).
