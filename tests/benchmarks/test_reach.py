"""The table of programs: everything that it names is there; what it measures of outputs."""

import numpy as np
import pytest

from barlowtf.tables import FORMATS
from benchmarks import reach, reach_environments


@pytest.mark.parametrize("program", reach.PROGRAMS, ids=lambda program: f"{program.title}, {program.export.words}")
def test_what_the_table_names_is_there(program):
    assert (reach.PROGRAMS_FOLDER / f"{program.script}.py").exists()
    assert program.environment is None or program.environment in reach_environments.ENVIRONMENTS
    form = FORMATS[program.export.file_format]
    form.chosen_settings(program.export.file_format, dict(program.export.settings))
    form.chosen_variants(program.export.file_format, [program.export.variant] if program.export.variant else None)


def test_rows_are_told_apart():
    names = [(program.title, program.export.words) for program in reach.PROGRAMS]
    assert len(set(names)) == len(names)


def test_differences():
    expected = {"features": np.array([[1.0, -4.0]], np.float32), "logits": np.array([[0.0, 2.0], [3.0, 1.0]])}
    found = {"features": np.array([[1.0, -3.0]]), "logits": np.array([[0.0, 2.0], [1.0, 3.0]])}
    found["features_without"] = found["features"] + 0.5
    assert reach._differences(expected, found) == {
        "largest_difference": {"features": 1.0, "logits": 2.0},
        "relative_difference": {"features": 0.25, "logits": 2.0 / 3.0},
        "top1_agreement": 0.5,
        "without_xnnpack": {"features": 0.5},
    }
