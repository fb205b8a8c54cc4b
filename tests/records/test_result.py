"""Results on disk: written and read whole, and what is said of files that are not results."""

import json

import pytest

from barlowtf.errors import CheckpointError
from barlowtf.records import read_result, read_results, write_result
from tests.result_records import make_result


def test_a_result_reads_back_equal_with_one_key_per_line(tmp_path):
    result = make_result(per_class=(0.5, None), confusion_matrix=((1, 1), (0, 0)))
    write_result(tmp_path / "semi1.json", result)
    assert read_result(tmp_path / "semi1.json") == result
    assert '  "confusion_matrix": [[1, 1], [0, 0]]' in (tmp_path / "semi1.json").read_text().splitlines()


def test_measures_that_nobody_declared_have_their_own_names():
    result = make_result(measures=(), scores={"spread": 3.0})
    assert [(measure.name, measure.title) for measure in result.shown_measures] == [("spread", "spread")]


def test_other_files_are_named_and_the_results_are_read(tmp_path):
    write_result(tmp_path / "b.json", make_result())
    values = json.loads((tmp_path / "b.json").read_text())
    (tmp_path / "a.json").write_text('{"protocol": "knn"}')
    (tmp_path / "c.json").write_text("{")
    (tmp_path / "d.json").write_text("[]")
    (tmp_path / "e.json").write_bytes(b"\xff")
    (tmp_path / "f.json").write_text(json.dumps({**values, "scores": {"top1": "high"}}))
    (tmp_path / "g.json").mkdir()
    (tmp_path / "table.md").write_text("")
    results, faults = read_results(tmp_path)
    assert results == [make_result()]
    expected = ["a.json is not", "c.json is not", "d.json is not", "Cannot read", "f.json is not", "Cannot read"]
    assert len(faults) == len(expected)
    for fault, text in zip(faults, expected, strict=True):
        assert text in fault
    assert "scores.top1: input should be a valid number, received 'high'" in faults[4]
    with pytest.raises(CheckpointError, match="No such file"):
        read_result(tmp_path / "h.json")
