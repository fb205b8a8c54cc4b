import math

import pytest

from barlowtf.report.scales import Scale, make_scale, say


def test_linear_scale_ends_on_round_values_around_the_data():
    scale = make_scale([0.13, 0.78], 200, 10, may_be_log=False, from_zero=False)
    assert (scale.low, scale.high) == pytest.approx((0.0, 0.8))
    assert scale.ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert [scale.place(0), scale.place(0.4), scale.place(0.8)] == pytest.approx([200, 105, 10])


def test_scale_from_zero_shows_zero():
    assert make_scale([150.0, 180.0], 0, 1, may_be_log=False, from_zero=True).low == 0
    assert make_scale([150.0, 180.0], 0, 1, may_be_log=False, from_zero=False).low > 100


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_equal_values_have_an_axis(value):
    scale = make_scale([value, value], 0, 100, may_be_log=True, from_zero=False)
    assert scale.low <= value <= scale.high
    assert len(scale.ticks()) >= 2


@pytest.mark.parametrize(
    ("values", "logarithmic"), [([1, 5], True), ([1, 4.9], False), ([0, 100], False), ([-1, 100], False)]
)
def test_log_only_for_positive_values_of_a_wide_range(values, logarithmic):
    assert make_scale(values, 0, 1, may_be_log=True, from_zero=False).logarithmic == logarithmic


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.08, 3, [0.1, 0.2, 0.5, 1, 2]), (0.9, 2e3, [1, 3, 10, 30, 100, 300, 1000]), (1, 1e12, [1, 1e2, 1e4, 1e6])],
)
def test_log_ticks(low, high, ticks):
    found = Scale(low, high, 0, 1, logarithmic=True).ticks()
    assert found[: len(ticks)] == pytest.approx(ticks)
    assert len(found) <= 9


def test_log_scale_places_equal_factors_equally():
    scale = Scale(1, 100, 0, 200, logarithmic=True)
    assert scale.place(10) == pytest.approx(100)
    assert scale.place(math.sqrt(10)) == pytest.approx(50)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.15575945, "0.1558"), (12345.6, "12,346"), (2e-6, "2e-6"), (-0.5, "-0.5"), (1234567, "1.23e6")],
)
def test_say(value, text):
    assert say(value) == text
