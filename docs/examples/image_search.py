# %% [markdown]
# # Search images by their features
#
# Images that look alike to the encoder have features in the same direction. This example writes the features of all
# training images once, and then finds the nearest ones of any image.

# %%
from pathlib import Path

from barlowtf.config import load_recipe
from barlowtf.experiment import EmbedRequest, PretrainRequest, SearchRequest, embed, pretrain, search

run = Path("runs/example")
pretrain(PretrainRequest(load_recipe("digits", ["train.epochs=4"]), run))

folder = Path("runs/example-features")
embed(EmbedRequest(encoder=str(run), source="digits", out=folder))

# %% [markdown]
# `search` looks for images of the folder by their numbers, or for image files: `photos=["7.png"]` instead of `ids`.
# `out=Path("similar.html")` also writes a page of thumbnails.

# %%
found = search(SearchRequest(folder, ids=[100], matches=5))
(query,) = found.queries
print(f"image {query.id}, a {query.label}")
for match in query.matches:
    print(f"  {match.distance:.4f}  image {match.id}, a {match.label}")

# %% [markdown]
# The folder holds ordinary Parquet files with the columns `id`, `path`, `label` and `feature`. With features of length
# 1, a search is one product of matrices.

# %%
import numpy as np
import pyarrow.parquet as pq
from sklearn.datasets import load_digits

import barlowtf.encoders

table = pq.read_table(folder)
labels = table["label"].to_numpy()
bank = np.stack(table["feature"].to_numpy())
bank /= np.linalg.norm(bank, axis=1, keepdims=True)

digits = load_digits()
is_test = np.arange(len(digits.images)) % 5 == 0  # Not among the training images.
queries = barlowtf.encoders.load(str(run)).features(digits.images[is_test, ..., None] / 16)
queries /= np.linalg.norm(queries, axis=1, keepdims=True)

nearest = np.argsort(-(queries @ bank.T), axis=1)[:, :5]
same = labels[nearest] == digits.target[is_test][:, None]
print(f"{same.mean():.1%} of the 5 nearest of {len(queries)} test images show the same digit")
