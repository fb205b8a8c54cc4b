"""Measures of an encoder with and without labels: collapse, rank, neighbors, novelty, precision; drift; verdict."""

from barlowtf.metrics.average_precision import (
    average_precision,
    interpolated_average_precision,
    voc07_average_precision,
)
from barlowtf.metrics.classification import ClassificationScores, classification_scores
from barlowtf.metrics.collapse import (
    COLLAPSED_RANK,
    MOSTLY_DEAD,
    correlation_picture,
    cross_correlation,
    dead_dimensions,
    downsample_correlation,
    effective_rank,
    has_collapsed,
    mean_diagonal,
    mean_off_diagonal,
)
from barlowtf.metrics.drift import (
    Overlap,
    Products,
    Scale,
    frechet_distance,
    kernel_distance,
    kernel_p_value,
    kernels_of,
    overlap,
    products_of,
    scale_of,
)
from barlowtf.metrics.drift_draws import TESTS, Comparison, Judged, compare, least_resamples, sizes_of_draws
from barlowtf.metrics.knn import knn_accuracy, knn_predict, knn_votes, nearest_neighbors
from barlowtf.metrics.label_free import alpha_req, lidar
from barlowtf.metrics.linear_probe import linear_probe_accuracy
from barlowtf.metrics.novelty import kth_distances, novelty, own_distances
from barlowtf.metrics.verdict import MEASURES, Measure, Verdict, judge_run

__all__ = [
    "COLLAPSED_RANK",
    "MEASURES",
    "MOSTLY_DEAD",
    "TESTS",
    "ClassificationScores",
    "Comparison",
    "Judged",
    "Measure",
    "Overlap",
    "Products",
    "Scale",
    "Verdict",
    "alpha_req",
    "average_precision",
    "classification_scores",
    "compare",
    "correlation_picture",
    "cross_correlation",
    "dead_dimensions",
    "downsample_correlation",
    "effective_rank",
    "frechet_distance",
    "has_collapsed",
    "interpolated_average_precision",
    "judge_run",
    "kernel_distance",
    "kernel_p_value",
    "kernels_of",
    "knn_accuracy",
    "knn_predict",
    "knn_votes",
    "kth_distances",
    "least_resamples",
    "lidar",
    "linear_probe_accuracy",
    "mean_diagonal",
    "mean_off_diagonal",
    "nearest_neighbors",
    "novelty",
    "overlap",
    "own_distances",
    "products_of",
    "scale_of",
    "sizes_of_draws",
    "voc07_average_precision",
]
