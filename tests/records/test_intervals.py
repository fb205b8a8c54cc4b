import pytest

from barlowtf.records.intervals import mean_and_interval


def test_interval_by_hand():
    # Three runs 1, 2, 3: deviation 1, error 1/sqrt(3), Student's t of two degrees of freedom 4.302653.
    mean, half = mean_and_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert mean_and_interval([0.5]) == (0.5, None)
    with pytest.raises(ValueError, match="at least one"):
        mean_and_interval([])
