import pytest

from barlowtf.report.numbers import format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5, "0.5"),
        (12.34567, "12.35"),
        (1234.5, "1,234"),
        (2.5e6, "2.5e6"),
        (0.00004, "4e-5"),
        (-1500, "-1,500"),
        (1e-3, "0.001"),
    ],
)
def test_numbers_are_short(value, text):
    assert format_number(value) == text
