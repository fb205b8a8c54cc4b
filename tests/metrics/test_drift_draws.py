"""How often drift is seen where there is none, that it is seen where there is, and what the limits are."""

import numpy as np
import pytest

from barlowtf.metrics import TESTS, compare, frechet_distance, least_resamples, scale_of, sizes_of_draws

LEVEL = 0.2


def features(count, seed, shift=0.0):
    """Features of several kinds of images, of which one is rare."""
    r = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((4, 6)) * 2
    return centers[r.choice(4, count, p=[0.5, 0.3, 0.18, 0.02])] + r.standard_normal((count, 6)) + shift


def drifted(reference, new, seed, **options):
    settings = {"most": 60, "resamples": least_resamples(LEVEL), "level": LEVEL, "permutations": 99, **options}
    found = compare(reference, new, seed=seed, **settings)
    return any(judged.beyond for judged in found.measures) or found.permutation_p <= LEVEL / TESTS


# As many new images as the reference has, and fewer, so that each draw takes all of them.
@pytest.mark.parametrize("count", [120, 40])
def test_drift_is_seen_as_seldom_as_the_level_says(count):
    seen = sum(drifted(features(120, seed), features(count, 1000 + seed), seed) for seed in range(30))
    # 30 tries at the level of 0.2: 6, and three standard deviations of 2.2 more.
    assert seen <= 12


@pytest.mark.parametrize("count", [120, 40])
def test_a_shift_is_always_seen(count):
    for seed in range(4):
        assert drifted(features(120, seed), features(count, 1000 + seed, shift=1.0), seed)


@pytest.mark.parametrize("count", [30, 200])
def test_rare_far_features_are_no_drift(count):
    """Lengths of a log-normal distribution: of more features some are longer than any of the reference."""

    def lengths(count, r):
        return r.standard_normal((count, 8)) * np.exp(1.5 * r.standard_normal((count, 1)))

    streams = [np.random.default_rng((5, seed)) for seed in range(30)]
    seen = sum(drifted(lengths(60, r), lengths(count, r), seed) for seed, r in enumerate(streams))
    assert seen <= 12  # as above


def test_few_strangers_are_seen():
    new = features(100, 1)
    new[:10] += 15.0
    found = compare(features(200, 0), new, most=100, resamples=99)
    assert {judged.kind.key for judged in found.measures if judged.beyond} >= {"frechet", "familiar"}


def test_the_same_features_have_not_drifted():
    reference = features(150, 3)
    assert not drifted(reference, reference, 0)


def test_the_limit_is_the_farthest_draw_of_the_reference_against_itself():
    reference, new = features(80, 0), features(40, 1)
    found = compare(reference, new, most=1000, resamples=99, seed=4)
    assert found.drawn == (40, 40)
    scaled, r = scale_of(reference).apply(reference), np.random.default_rng((4, 0))
    orders = [r.permutation(80) for _ in range(99)]
    usual = [frechet_distance(scaled[order[:40]], scaled[order[40:]]) for order in orders]
    beside = [frechet_distance(scaled[order[:40]], found.scale.apply(new)) for order in orders]
    judged = found.measures[0]
    np.testing.assert_allclose(judged.limit, max(usual), rtol=1e-9)
    np.testing.assert_allclose(judged.value, np.mean(beside), rtol=1e-9)
    assert judged.p_value == (1 + np.sum(usual >= np.mean(beside))) / 100
    assert judged.low <= judged.value <= judged.high
    for judged in found.measures:
        assert judged.beyond == (judged.p_value <= 0.05 / TESTS)
        if judged.kind.most is not None:
            assert 0 <= judged.low <= judged.high <= 1


def test_more_draws_let_some_be_beyond_the_limit():
    reference, new = features(80, 0), features(40, 1)
    found = compare(reference, new, most=1000, resamples=199, seed=4)
    scaled, r = scale_of(reference).apply(reference), np.random.default_rng((4, 0))
    usual = sorted(frechet_distance(scaled[o[:40]], scaled[o[40:]]) for o in (r.permutation(80) for _ in range(199)))
    # (1 + 1) / 200 is the level of each test.
    np.testing.assert_allclose(found.measures[0].limit, usual[-2], rtol=1e-9)


def test_the_interval_is_that_of_half_sets():
    reference, new = features(80, 0), features(40, 1)
    found = compare(reference, new, most=1000, resamples=99, seed=4)
    scaled, beside = found.scale.apply(reference), found.scale.apply(new)
    r, r_new = np.random.default_rng((4, 0)), np.random.default_rng((4, 1))
    draws = [(r.permutation(80)[:20], r_new.permutation(40)[:20]) for _ in range(99)]
    halves = [frechet_distance(scaled[known], beside[others]) for known, others in draws]
    judged = found.measures[0]
    expected = judged.value + np.percentile(halves, [2.5, 97.5]) - np.mean(halves)
    np.testing.assert_allclose((judged.low, judged.high), np.maximum(expected, 0), rtol=1e-9)


def test_sizes_leave_two_parts_of_the_reference():
    assert sizes_of_draws(100, 1000, 1000) == (50, 50)
    assert sizes_of_draws(1000, 30, 1000) == (970, 30)
    assert sizes_of_draws(9000, 9000, 1000) == (1000, 1000)
    assert [least_resamples(level) for level in (0.05, 0.01, 0.5)] == [99, 499, 9]
