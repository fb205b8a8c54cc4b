"""The reference pages are those that the code gives."""

from docs import generate


def test_reference_pages_are_up_to_date():
    assert generate.write(check=True) == [], "run `make docs`"
