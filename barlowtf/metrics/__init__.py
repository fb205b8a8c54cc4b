"""Measures of an encoder: signs of collapse, a nearest-neighbor vote, novelty, and average precision."""

from barlowtf.metrics.average_precision import (
    average_precision,
    interpolated_average_precision,
    voc07_average_precision,
)
from barlowtf.metrics.classification import ClassificationScores, classification_scores
from barlowtf.metrics.collapse import (
    correlation_picture,
    cross_correlation,
    dead_dimensions,
    downsample_correlation,
    effective_rank,
    mean_diagonal,
    mean_off_diagonal,
)
from barlowtf.metrics.knn import knn_accuracy, knn_predict, knn_votes, nearest_neighbors
from barlowtf.metrics.novelty import kth_distances, novelty, own_distances

__all__ = [
    "ClassificationScores",
    "average_precision",
    "classification_scores",
    "correlation_picture",
    "cross_correlation",
    "dead_dimensions",
    "downsample_correlation",
    "effective_rank",
    "interpolated_average_precision",
    "knn_accuracy",
    "knn_predict",
    "knn_votes",
    "kth_distances",
    "mean_diagonal",
    "mean_off_diagonal",
    "nearest_neighbors",
    "novelty",
    "own_distances",
    "voc07_average_precision",
]
