"""From raw turns to figures."""

import numpy as np
import pytest


def side(seconds, peak):
    return {"seconds": seconds, "peak_bytes": peak, "compile_seconds": 1.0, "last_result": 2.0}


def test_figures_of_a_case(gpu):
    facts = {"kind": "step", "images": 256, "operations": 2e12, "bfloat16": True, "case": {"batch_size": 256}}
    sides = {
        "plain": side([0.3, 0.1, 0.2], 2**31),
        "pytorch-eager": side([0.4], 2**32),
        "augmented": side([], None),
    }
    result = {
        "sides": sides,
        "failures": {"augmented": "out of memory"},
        "order": [["plain", 3]],
        "options": {"calls": 3},
    }
    rates = {"bfloat16": 1e14, "float32": 5e13, "float32_full": 1e13}
    summary = gpu("collecting").summarize(facts, result, rates, tf32=True)
    plain = summary["sides"]["plain"]
    assert plain["median_ms"] == 200.0 and plain["images_per_second"] == 1280.0
    assert plain["peak_gib"] == 2.0
    # 2e12 operations in 0.2 s are a tenth of 1e14 per second.
    assert plain["share_of_matmul_rate"] == 0.1
    assert summary["speed_ratio"] == {"plain over pytorch-eager": 2.0}
    assert summary["memory_ratio"] == {"pytorch-eager over plain": 2.0}
    assert "augmented" not in summary["sides"] and summary["failures"] == {"augmented": "out of memory"}


def test_parts_come_back_whole(gpu, tmp_path):
    parts = gpu("portable.parts")
    arrays = [np.arange(300, dtype=np.float32).reshape(3, 100), np.float32([[7.0]])]
    held = parts.write_parts(tmp_path, "encoder", arrays, 500)
    assert [part["bytes"] for part in held["parts"]] == [500, 500, 204]
    for array, read in zip(arrays, parts.read_parts(tmp_path, held), strict=True):
        np.testing.assert_array_equal(array, read)
    (tmp_path / "encoder.01").unlink()
    with pytest.raises(FileNotFoundError):
        parts.read_parts(tmp_path, held)


def test_every_case_has_a_scaled_down_twin(gpu):
    cases = gpu("cases")
    for name, case in cases.CASES.items():
        small = cases.scaled_down(case)
        assert type(small) is type(case) and small != case, name
