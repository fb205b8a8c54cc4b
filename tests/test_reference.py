"""The reference pages are those that the code gives."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "docs" / "generate.py"


def test_reference_pages_are_up_to_date():
    specification = importlib.util.spec_from_file_location("generate", SCRIPT)
    generate = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generate)
    assert generate.write(check=True) == [], "run `make docs`"
