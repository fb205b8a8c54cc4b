"""Measures of an encoder: signs of collapse, and a nearest-neighbor vote."""

from barlowtf.metrics.collapse import (
    correlation_picture,
    cross_correlation,
    dead_dimensions,
    downsample_correlation,
    effective_rank,
    mean_diagonal,
    mean_off_diagonal,
)
from barlowtf.metrics.knn import knn_accuracy, knn_predict

__all__ = [
    "correlation_picture",
    "cross_correlation",
    "dead_dimensions",
    "downsample_correlation",
    "effective_rank",
    "knn_accuracy",
    "knn_predict",
    "mean_diagonal",
    "mean_off_diagonal",
]
