import numpy as np
import pytest
import tensorflow as tf

from barlowtf.metrics import (
    collapse,
    correlation_picture,
    cross_correlation,
    dead_dimensions,
    downsample_correlation,
    effective_rank,
    mean_diagonal,
    mean_off_diagonal,
)


def views(examples=40, dimensions=7):
    random = np.random.default_rng(0)
    common = random.standard_normal((examples, dimensions))
    return [(3 + common + 0.5 * random.standard_normal(common.shape)).astype("f4") for _ in range(2)]


def correlation_oracle(z_a, z_b):
    a, b = ((z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) for z in (z_a.astype("f8"), z_b.astype("f8")))
    return a.T @ b / len(a)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_effective_rank_equals_the_paper_by_singular_values(shape):
    z = np.random.default_rng(1).standard_normal(shape) * np.geomspace(1, 1e-3, shape[1])
    singular = np.linalg.svd(z.astype("f4").astype("f8"), compute_uv=False)
    p = singular / singular.sum() + 1e-7
    # Both in float64; the Gram matrix costs half the digits.
    assert effective_rank(z.astype("f4")) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)


def test_effective_rank_of_known_matrices():
    # epsilon = 1e-7 in each p_k moves the entropy by some 1e-6.
    assert effective_rank(np.eye(16, dtype=np.float32)) == pytest.approx(16, rel=1e-4)
    assert effective_rank(np.ones((16, 8), np.float32)) == pytest.approx(1, rel=1e-4)
    assert effective_rank(tf.linalg.diag([1.0, 1.0, 1.0, 0.0])) == pytest.approx(3, rel=1e-4)
    assert effective_rank(np.zeros((4, 4))) == 0.0


def test_effective_rank_does_not_depend_on_scale():
    z, _ = views()
    # Powers of two change no digit but the exponent.
    assert effective_rank(1024 * z) == effective_rank(z)


def test_dead_dimensions_counts_the_still_ones():
    z, _ = views()
    z[:, 2] = 5.0
    z[:, 4] = 1e-5 * z[:, 4]
    assert dead_dimensions(z) == 2
    assert dead_dimensions(z, threshold=100.0) == 7
    assert dead_dimensions(z, threshold=1e-7) == 1


def test_cross_correlation_and_its_means_equal_the_oracle(monkeypatch):
    z_a, z_b = views()
    expected = correlation_oracle(z_a, z_b)
    off = ~np.eye(7, dtype=bool)
    for rows in (1024, 3):  # in one block, and in three of which the last is short
        monkeypatch.setattr(collapse, "ROWS", rows)
        # float32 sums of 40 products.
        np.testing.assert_allclose(cross_correlation(z_a, z_b), expected, atol=1e-6)
        assert mean_diagonal(z_a, z_b) == pytest.approx(np.diag(expected).mean(), abs=1e-6)
        assert mean_off_diagonal(z_a, z_b) == pytest.approx(np.abs(expected[off]).mean(), abs=1e-6)


def test_equal_views_agree_in_every_dimension():
    z, _ = views()
    # C_ii = var / (var + 1e-5), var about 1.
    assert mean_diagonal(z, z) == pytest.approx(1.0, abs=1e-4)
    assert mean_off_diagonal(z[:, :1], z[:, :1]) == 0.0


@pytest.mark.parametrize("cells", [1, 3, 7, 100])
def test_picture_is_the_mean_of_each_cell(cells, monkeypatch):
    monkeypatch.setattr(collapse, "ROWS", 2)
    c = np.random.default_rng(2).uniform(-1, 1, (7, 7))
    parts = np.array_split(np.arange(7), min(cells, 7))
    picture = downsample_correlation(c, cells)
    assert picture.dtype == np.uint8
    assert picture.shape == (len(parts), len(parts))
    sizes = sorted(len(part) for part in parts)
    cell = np.arange(7) * len(parts) // 7
    assert sorted(np.bincount(cell)) == sizes
    for i in range(len(parts)):
        for j in range(len(parts)):
            mean = np.abs(c[np.ix_(cell == i, cell == j)]).mean()
            # Rounded to a whole gray value.
            assert abs(float(picture[i, j]) - 255 * mean) <= 0.5 + 1e-9


def test_picture_of_views_is_that_of_their_correlation(monkeypatch):
    z_a, z_b = views()
    monkeypatch.setattr(collapse, "ROWS", 3)
    picture = correlation_picture(z_a, z_b, cells=4)
    np.testing.assert_array_equal(picture, downsample_correlation(cross_correlation(z_a, z_b), 4))


def test_picture_is_black_for_nothing_and_white_for_one():
    np.testing.assert_array_equal(downsample_correlation(np.eye(3), 3), 255 * np.eye(3))
    np.testing.assert_array_equal(downsample_correlation(np.full((4, 4), -1.5), 2), np.full((2, 2), 255))


@pytest.mark.parametrize(
    "call",
    [
        lambda: effective_rank(np.zeros(3)),
        lambda: effective_rank(np.full((2, 2), np.nan)),
        lambda: dead_dimensions(np.zeros((0, 3))),
        lambda: cross_correlation(np.zeros((4, 3)), np.zeros((4, 2))),
        lambda: mean_diagonal(np.zeros((1, 3)), np.zeros((1, 3))),
        lambda: downsample_correlation(np.zeros((3, 2)), 2),
        lambda: downsample_correlation(np.zeros((3, 3)), 0),
    ],
)
def test_wrong_arguments_are_errors(call):
    with pytest.raises(ValueError, match="Received .* Expected"):
        call()
