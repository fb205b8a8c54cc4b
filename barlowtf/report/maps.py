"""Features in two dimensions, and who lies next to whom in all of them."""

import importlib.util
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

_LOG = logging.getLogger("barlowtf")
_UMAP_NEIGHBORS = 15


@dataclass(frozen=True)
class Map:
    """A map of features.

    Attributes:
        method: "PCA" or "UMAP".
        caption: What a reader must know of it.
        places: float64 [n, 2] in [0, 1], both axes in one scale.
    """

    method: str
    caption: str
    places: np.ndarray


def make_maps(features: np.ndarray) -> list[Map]:
    """Returns the map by PCA, and that by UMAP where umap-learn is installed and there are images enough.

    Args:
        features: Finite, float [n, d], n >= 1. Their lengths do not count, as they do not for nearest neighbors.
    """
    unit = unit_rows(features)
    maps = [_pca(unit)]
    umap = _find_umap() if len(unit) > _UMAP_NEIGHBORS else None
    if umap is not None:
        maps.append(_umap(unit, umap))
    return maps


def nearest(features: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The images most like some of them, by cosine similarity, without themselves.

    Args:
        features: float [n, d].
        queries: Rows of `features`, integer [q].
        count: How many for each, < n.

    Returns:
        Rows of `features`, int64 [q, count], the most similar first, and the similarities, float [q, count].
    """
    unit = unit_rows(features)
    similarity = unit[queries] @ unit.T  # [q, n]
    similarity[np.arange(len(queries)), queries] = -np.inf
    rows = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    return rows, np.take_along_axis(similarity, rows, axis=1)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Features as float64 with rows of length 1; a row of zeros stays zeros."""
    features = np.asarray(features, np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.divide(features, length, out=np.zeros_like(features), where=length > 0)


def _pca(unit: np.ndarray) -> Map:
    from sklearn.decomposition import PCA

    components = min(2, *unit.shape)
    places, share = np.zeros((len(unit), 2)), 0.0
    # Features that are all one point, those of a collapsed encoder, have no directions to find.
    if unit.var(axis=0).sum() > 1e-20:
        pca = PCA(components, random_state=0)
        places[:, :components] = pca.fit_transform(unit)
        share = float(pca.explained_variance_ratio_.sum())
    return Map("PCA", f"The two axes hold {100 * share:.0f} % of the variance.", _boxed(places))


def _find_umap() -> Any:
    """Returns the class of umap-learn; None where it is not installed, or not whole."""
    try:
        from umap import UMAP
    except ImportError as error:
        if importlib.util.find_spec("umap") is not None:
            _LOG.warning("No map by UMAP: the package umap is no working umap-learn: %s.", error)
        return None
    return UMAP


def _umap(unit: np.ndarray, umap: Any) -> Map:
    model = umap(n_neighbors=_UMAP_NEIGHBORS, metric="cosine", random_state=0, n_jobs=1)
    places = np.asarray(model.fit_transform(unit.astype(np.float32)), np.float64)
    caption = f"Keeps {_UMAP_NEIGHBORS} neighbors close; distances between groups mean little."
    return Map("UMAP", caption, _boxed(places))


def _boxed(places: np.ndarray) -> np.ndarray:
    """Places moved and scaled into [0, 1]², centered, one scale for both axes."""
    low, high = places.min(axis=0), places.max(axis=0)
    extent = float((high - low).max()) or 1.0
    return (places - (low + high) / 2) / extent + 0.5
