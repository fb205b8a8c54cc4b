"""docs/reliability.md: each row names tests that are there, but for the trials at its end, which name result files."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"
FAULTS = PAGE.read_text().partition("## Trials")[0]
ROWS = [line for line in FAULTS.splitlines() if line.startswith("| ") and not line.startswith("| what |")]


def functions(file):
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS)
def test_each_fault_has_a_test(row):
    named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", row)
    assert named
    for file, name in named:
        assert name in functions(TESTS / file), f"{file} has no {name}"
