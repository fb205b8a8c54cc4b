"""VOC 2007 classification: one linear support vector machine a class on frozen features. NumPy and scikit-learn."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from barlowtf.errors import DataError
from barlowtf.metrics import average_precision, interpolated_average_precision, voc07_average_precision

_LOG = logging.getLogger("barlowtf")
COSTS = (0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0)
_MAX_ITERATIONS = 2000
_CLASS_WEIGHT = {1: 2, -1: 1}


@dataclass(frozen=True)
class ClassResult:
    """What one class' machine reached on the test images.

    Attributes:
        average_precision: In (0, 1], see `barlowtf.metrics`.
        interpolated_average_precision: In (0, 1]; the definition behind the published VOC07 numbers.
        voc07_average_precision: In (0, 1], at 11 recalls.
        cost: The C that cross-validation chose.
        unconverged: Fits of this class, of all costs and folds, that met the limit of iterations.
    """

    average_precision: float
    interpolated_average_precision: float
    voc07_average_precision: float
    cost: float
    unconverged: int


@dataclass(frozen=True)
class VocSvmResult:
    """What the machines of all K classes reached, one value a class; the means are the protocol's mAP.

    Attributes:
        average_precision: float64 [K].
        interpolated_average_precision: float64 [K].
        voc07_average_precision: float64 [K].
        cost: float64 [K].
        unconverged: int64 [K].
    """

    average_precision: np.ndarray
    interpolated_average_precision: np.ndarray
    voc07_average_precision: np.ndarray
    cost: np.ndarray
    unconverged: np.ndarray


def evaluate_voc_svm(
    train_features: Any,
    train_targets: Any,
    test_features: Any,
    test_targets: Any,
    *,
    costs: Sequence[float] = COSTS,
    folds: int = 3,
    seed: int = 0,
    done: Mapping[int, ClassResult] | None = None,
    on_class: Callable[[int, ClassResult], None] | None = None,
) -> VocSvmResult:
    """Trains one linear machine a class and measures its average precision on the test images.

    Squared hinge, l2 penalty, solved in the dual, positives weigh double; C by the mean average precision over
    stratified folds of consecutive images, the smaller of two equal ones. Features are divided by their length.
    Difficult images (0) are negatives in training, as in VISSL, and are left out of the test of their class.

    Args:
        train_features: float [M, d].
        train_targets: Integers [M, K]: 1 present, 0 difficult, -1 absent.
        test_features: float [Q, d].
        test_targets: Integers [Q, K], like `train_targets`.
        costs: Values of C to try, > 0. Default: the paper's.
        folds: Parts of the cross-validation, >= 2.
        seed: Seed of the solver's order of examples, >= 0.
        done: Results of classes that need no work, by class number: what an earlier, interrupted call gave to
            `on_class`.
        on_class: Called after each class with its number and result.

    Returns:
        VocSvmResult.

    Raises:
        ValueError: Shapes or values do not fit.
        DataError: Features are not finite, a class has fewer positives or others in training than folds, or no
            positive in the test.

    Source: arXiv:2103.03230, section 4.2 and appendix; facebookresearch/vissl svm_utils/svm_trainer.py, which adds
    1e-5 to the length of a feature.
    """
    x, y = _check("train", train_features, train_targets)
    test_x, test_y = _check("test", test_features, test_targets)
    if x.shape[1] != test_x.shape[1] or y.shape[1] != test_y.shape[1]:
        raise ValueError(
            f"train and test do not fit. Received features {x.shape} and {test_x.shape}, targets {y.shape} and "
            f"{test_y.shape}. Expected one d and one K."
        )
    if folds < 2 or not len(costs) or min(costs) <= 0:
        raise ValueError(f"Received {folds} folds and costs {tuple(costs)}. Expected 2 folds or more, costs > 0.")
    _require_enough(y, test_y, folds)
    x, test_x = _unit(x), _unit(test_x)
    results = dict(done or {})
    for index in range(y.shape[1]):
        if index in results:
            continue
        tested = test_y[:, index] != 0
        results[index] = _evaluate_class(
            x, np.where(y[:, index] == 1, 1, -1), test_x[tested], test_y[tested, index] == 1, costs, folds, seed
        )
        if on_class is not None:
            on_class(index, results[index])
    return _collect([results[index] for index in range(y.shape[1])], fits=len(costs) * folds + 1)


def _evaluate_class(
    x: np.ndarray,
    signs: np.ndarray,
    test_x: np.ndarray,
    positives: np.ndarray,
    costs: Sequence[float],
    folds: int,
    seed: int,
) -> ClassResult:
    """Returns the result of one class from signs, 1 or -1 [M], and positives, bool [Q]."""
    unconverged = 0

    def scores(cost: float, train: Any, test: np.ndarray) -> np.ndarray:
        nonlocal unconverged
        machine = LinearSVC(C=cost, dual=True, class_weight=_CLASS_WEIGHT, max_iter=_MAX_ITERATIONS, random_state=seed)
        # Large costs seldom converge, and each of hundreds of fits would say so; they are counted instead.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            machine.fit(x[train], signs[train])
        unconverged += int(machine.n_iter_ >= _MAX_ITERATIONS)
        return machine.decision_function(test)

    parts = list(StratifiedKFold(folds).split(x, signs))
    validated = [
        np.mean([average_precision(scores(cost, train, x[held]), signs[held] == 1) for train, held in parts])
        for cost in costs
    ]
    best = min(range(len(costs)), key=lambda index: (-validated[index], costs[index]))
    final = scores(costs[best], slice(None), test_x)
    return ClassResult(
        average_precision=average_precision(final, positives),
        interpolated_average_precision=interpolated_average_precision(final, positives),
        voc07_average_precision=voc07_average_precision(final, positives),
        cost=float(costs[best]),
        unconverged=unconverged,
    )


def _collect(results: list[ClassResult], fits: int) -> VocSvmResult:
    unconverged = np.array([result.unconverged for result in results], np.int64)
    if unconverged.any():
        _LOG.info(
            "%d of %d machines met the limit of %d iterations, as they do in the published protocol.",
            unconverged.sum(),
            fits * len(results),
            _MAX_ITERATIONS,
        )
    return VocSvmResult(
        average_precision=np.array([result.average_precision for result in results]),
        interpolated_average_precision=np.array([result.interpolated_average_precision for result in results]),
        voc07_average_precision=np.array([result.voc07_average_precision for result in results]),
        cost=np.array([result.cost for result in results]),
        unconverged=unconverged,
    )


def _check(split: str, features: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns float64 [M, d] and integer [M, K]."""
    features, targets = np.asarray(features, np.float64), np.asarray(targets)
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets) or not targets.shape[1]:
        raise ValueError(
            f"{split} does not fit. Received features {features.shape}, targets {targets.shape}. "
            "Expected [M, d] and [M, K], K >= 1."
        )
    if not np.isin(targets, (-1, 0, 1)).all():
        raise ValueError(f"{split} targets do not fit. Received {np.unique(targets)[:5]}. Expected -1, 0 and 1.")
    if not np.isfinite(features).all():
        raise DataError(
            f"{split} features are not finite in {np.count_nonzero(~np.isfinite(features).all(axis=1))} of "
            f"{len(features)} images. Expected numbers. The encoder has diverged or its images are normalized wrongly."
        )
    return features, targets


def _require_enough(y: np.ndarray, test_y: np.ndarray, folds: int) -> None:
    """Raises DataError naming the first class with too few images."""
    for index, count in enumerate(np.count_nonzero(y == 1, axis=0)):
        if min(count, len(y) - count) < folds:
            raise DataError(
                f"Class {index} has {count} positives among {len(y)} training images. Expected at least {folds} "
                f"positives and {folds} others for {folds} folds. Label more images, or leave the class out."
            )
    for index, count in enumerate(np.count_nonzero(test_y == 1, axis=0)):
        if count == 0:
            raise DataError(
                f"Class {index} has no positive among {len(test_y)} test images. Expected at least one. "
                "Label more images, or leave the class out."
            )


def _unit(features: np.ndarray) -> np.ndarray:
    """Returns each row divided by its length; zeros stay."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length == 0.0, 1.0, length)
