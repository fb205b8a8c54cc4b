"""Jobs: real processes, none of them TensorFlow."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from barlowtf.launching import TETHERED, Job, run_jobs, share_of_machine

# Seconds until a test that hangs is given up.
PATIENCE = 300


def python(code, *arguments):
    return (sys.executable, "-c", code, *map(str, arguments))


def wait_for(path):
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.02)


def ended_jobs(jobs, **options):
    ended = []
    received = run_jobs(jobs, ended=ended.append, **options)
    return received, {each.job.name: each.status for each in ended}


def test_commands_run_in_turn_until_one_fails(tmp_path):
    log = tmp_path / "log"
    jobs = [
        Job("good", (python("print('first')"), python("print('second')")), log),
        Job("bad", (python("import sys; sys.exit(3)"), python("print('never')")), log),
        Job("killed", (python("import os; os.kill(os.getpid(), 9)"),), log),
    ]
    assert ended_jobs(jobs, slots=1) == (None, {"good": 0, "bad": 3, "killed": 137})
    assert log.read_text() == "first\nsecond\n"


def test_no_jobs():
    assert ended_jobs([], slots=4) == (None, {})


def test_as_many_run_at_a_time_as_there_are_slots(tmp_path):
    # Each waits until it has seen the other one.
    code = (
        "import pathlib, sys, time\n"
        "own, other = map(pathlib.Path, sys.argv[1:])\n"
        "own.touch()\n"
        "while not other.exists(): time.sleep(0.02)\n"
    )
    a, b = tmp_path / "a", tmp_path / "b"
    jobs = [Job(str(own), (python(code, own, other),), tmp_path / "log") for own, other in ((a, b), (b, a))]
    assert ended_jobs(jobs, slots=2) == (None, {str(a): 0, str(b): 0})


def test_slots_have_their_environment(tmp_path):
    show = python("import os; print(os.environ['SLOT'])")
    jobs = [Job(name, (show,), tmp_path / name) for name in "ab"]
    ended_jobs(jobs, slots=1, environment=lambda slot: {"SLOT": f"slot {slot}"})
    assert {(tmp_path / name).read_text() for name in "ab"} == {"slot 0\n"}


def test_slots_share_the_machine(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert share_of_machine(1, 0)(0) == {}
    assert share_of_machine(4, 0)(3) == {"TF_NUM_INTRAOP_THREADS": "2", "OMP_NUM_THREADS": "2"}
    assert [share_of_machine(4, 2)(slot)["CUDA_VISIBLE_DEVICES"] for slot in range(4)] == ["0", "1", "0", "1"]


def test_a_signal_reaches_what_runs_and_nothing_else_starts(tmp_path):
    code = (
        "import pathlib, signal, sys, time\n"
        "def end(*_): print('saved', flush=True); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(300)\n"
    )
    ready = tmp_path / "ready"
    jobs = [Job("first", (python(code, ready),), tmp_path / "log"), Job("second", (python("1"),), tmp_path / "second")]

    def stop():
        wait_for(ready)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    assert ended_jobs(jobs, slots=1) == (signal.SIGTERM, {})
    assert (tmp_path / "log").read_text() == "saved\n"
    assert not (tmp_path / "second").exists()


def test_a_failure_of_the_caller_ends_what_runs(tmp_path):
    ready = tmp_path / "ready"
    sleeps = python("import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(300)", ready)
    waits = python("import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)", ready)
    jobs = [Job("sleeps", (sleeps,), tmp_path / "a"), Job("ends", (waits,), tmp_path / "b")]

    def fail(ended):
        raise RuntimeError(ended.job.name)

    started = time.monotonic()
    with pytest.raises(RuntimeError, match="ends"):
        run_jobs(jobs, slots=2, ended=fail)
    assert time.monotonic() - started < PATIENCE


def test_a_program_that_cannot_be_started_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        ended_jobs([Job("x", (("no-such-program",),), tmp_path / "log")], slots=1)


def test_the_command_line_runs_tethered():
    # The pipe closes while it starts: either it has ended by then, or it is ended.
    process = subprocess.Popen([*TETHERED, "--version"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 143)
    assert not out or "barlowtf" in out


def test_a_killed_caller_takes_its_commands_along(tmp_path):
    """The command is killed before it ends by itself: it waits for a port where nothing answers."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from barlowtf.launching import TETHERED, Job, run_jobs\n"
        "words = (*TETHERED[:2], 'tests.waiting_command')\n"
        "run_jobs([Job('x', ((*words, sys.argv[1]),), Path(sys.argv[2]))], slots=1, ended=print)\n"
    )
    number, log = tmp_path / "number", tmp_path / "log"
    caller = subprocess.Popen([*python(code, number, log)])
    wait_for(number)
    child = int(number.read_text())
    caller.kill()
    caller.wait()
    deadline = time.monotonic() + PATIENCE
    while _is_running(child):
        assert time.monotonic() < deadline, "the command outlives its caller"
        time.sleep(0.05)


def _is_running(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    # What has ended and waits for init still answers.
    with open(f"/proc/{number}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
