"""What all benchmarks share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import machine

ROOT = Path(__file__).parents[2]


def test_result_file_says_where_and_how(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["/elsewhere/benchmarks/step.py", "--quick"])
    path = machine.write_result("step", {"speed_ratio": 2.0})
    result = json.loads(path.read_text(encoding="utf-8"))
    assert path == tmp_path / "results" / "step.json"
    assert result["command"] == "python -m benchmarks.step --quick"
    assert result["speed_ratio"] == 2.0
    assert {"processor", "cores", "memory_gib"} <= result["machine"].keys()
    assert {"python", "tensorflow", "keras"} <= result["versions"].keys()


def test_child_reads_the_last_line_and_has_its_threads(monkeypatch, tmp_path):
    (tmp_path / "child.py").write_text(
        "import json, os, sys\nprint('chatter')\nprint(json.dumps([sys.argv[1:], os.environ['OMP_NUM_THREADS']]))\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert machine.run_child("child", "a", "b", threads=2) == [["a", "b"], "2"]


def test_child_runs_in_the_environment_of_its_python(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "[\\"$2\\"]"\n', encoding="utf-8")
    python.chmod(0o755)
    assert machine.run_child("child", threads=1, python=str(python)) == ["child"]


def test_child_that_fails_is_an_error_with_its_words(monkeypatch, tmp_path):
    (tmp_path / "child.py").write_text("raise SystemExit('out of luck')\n", encoding="utf-8")
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match="out of luck"):
        machine.run_child("child", threads=1)


def test_timed_calls_leave_out_the_warm_up():
    calls = []
    assert len(machine.time_calls(lambda: calls.append(1), warm_up=2, repeats=3)) == 3
    assert len(calls) == 5


def test_pin_refuses_more_cores_than_there_are():
    with pytest.raises(ValueError, match="Expected at most"):
        machine.pin(len(os.sched_getaffinity(0)) + 1)


def test_pin_keeps_the_process_on_so_many_cores():
    code = "import os; from benchmarks import machine; machine.pin(1); print(len(os.sched_getaffinity(0)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize("name", ["machine", "step", "input"])
def test_measured_processes_start_without_a_library(name):
    code = f"import sys, benchmarks.{name}; print(sorted({{'tensorflow', 'torch'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
