"""RankMe, LiDAR and alpha-ReQ: recorded numbers, oracles by hand, and what they must not depend on."""

import numpy as np
import pytest

from barlowtf.metrics import alpha_req, effective_rank, lidar


@pytest.mark.parametrize("case", [0, 1, 2])
def test_equals_the_recorded_numbers(golden, case):
    with np.load(golden / "feature_metrics.npz") as record:
        features, views = record[f"{case}/features"], int(record[f"{case}/samples_per_class"])
        # Both in float64. The Gram matrix costs RankMe half the digits of its smallest singular values.
        assert effective_rank(features, epsilon=1e-5) == pytest.approx(float(record[f"{case}/rankme"]), rel=1e-6)
        assert lidar(features, views) == pytest.approx(float(record[f"{case}/lidar"]), rel=1e-6)
        if f"{case}/alpha" in record:
            assert tuple(record[f"{case}/alpha_range"]) == (3, 40)
            # The recorded spectrum was float32.
            assert alpha_req(features) == pytest.approx(float(record[f"{case}/alpha"]), rel=1e-4)


@pytest.mark.parametrize(("images", "width"), [(40, 6), (5, 30)])
def test_lidar_equals_its_definition(images, width):
    x = np.random.default_rng(0).standard_normal((images, 3, width)) + np.arange(images)[:, None, None] % 4
    means = x.mean(1)
    s_w = sum(np.outer(v - m, v - m) for of_image, m in zip(x, means, strict=True) for v in of_image) / (2 * images)
    s_b = sum(np.outer(m - means.mean(0), m - means.mean(0)) for m in means) / (images - 1)
    values, vectors = np.linalg.eigh(s_w + 1e-4 * np.eye(width))
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    eigenvalues = np.maximum(np.linalg.eigvalsh(root @ s_b @ root), 0) + 1e-8
    p = eigenvalues / eigenvalues.sum()
    assert lidar(x.reshape(-1, width), 3) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)


def test_lidar_counts_the_directions_in_which_images_differ():
    r = np.random.default_rng(1)
    images = np.zeros((400, 1, 12))
    images[:, 0, :5] = 50 * r.standard_normal((400, 5))
    views = (images + r.standard_normal((400, 4, 12))).reshape(-1, 12)
    # Five directions of equal spread, and 7 in which the means of 4 views differ by noise: variance 1/4 to 2500.
    assert lidar(views, 4) == pytest.approx(5, rel=0.02)


def test_alpha_is_the_exponent_of_a_power_law():
    basis, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((100, 50)))
    basis, _ = np.linalg.qr(basis - basis.mean(axis=0))
    for alpha in (0.5, 1.0, 2.0):
        x = 7 * basis * np.arange(1, 51) ** (-alpha / 2) + 3
        # Columns of the basis have mean 0 and are orthogonal, so that the variances are the law itself.
        assert alpha_req(x) == pytest.approx(alpha, abs=1e-6)
        assert alpha_req(x, ranks=(1, 20)) == pytest.approx(alpha, abs=1e-6)


def test_alpha_of_few_directions_is_not_a_number():
    x = np.zeros((20, 50))
    x[:, :4] = np.random.default_rng(3).standard_normal((20, 4))
    assert np.isnan(alpha_req(x)) and np.isnan(alpha_req(np.ones((5, 8))))
    assert np.isfinite(alpha_req(x, ranks=(1, 4)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: lidar(np.zeros((6, 2)), 1),
        lambda: lidar(np.zeros((7, 2)), 2),
        lambda: lidar(np.zeros((2, 2)), 2),
        lambda: lidar(np.full((4, 2), np.nan), 2),
        lambda: alpha_req(np.zeros(4)),
        lambda: alpha_req(np.zeros((4, 4)), ranks=(3, 3)),
        lambda: alpha_req(np.zeros((1, 4))),
    ],
)
def test_wrong_arguments_are_errors(call):
    with pytest.raises(ValueError, match="received .* expected"):
        call()
