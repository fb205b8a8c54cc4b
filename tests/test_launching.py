"""Real processes, none of them TensorFlow."""

import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from barlowtf.launching import cluster_configs, free_ports, run_workers


def python(code, *arguments):
    return [sys.executable, "-c", code, *map(str, arguments)]


def ends_with(status):
    return python(f"import sys; sys.exit({status})")


def ends_after(place, status):
    """Ends once the file is there."""
    code = (
        "import pathlib, sys, time\n"
        "while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)\n"
        "sys.exit(int(sys.argv[2]))"
    )
    return python(code, place, status)


# Seconds until a test that hangs is given up, and nothing else: the machine may be busy with other things.
PATIENCE = 300
SLEEPS = python(f"import time; time.sleep({PATIENCE})")


@pytest.fixture
def log(caplog, monkeypatch):
    """The library's messages; the command line's tests may have cut its logger off from the root."""
    monkeypatch.setattr(logging.getLogger("barlowtf"), "propagate", True)
    return caplog


@pytest.fixture
def first_failure(tmp_path):
    """A file that is there once the launcher has taken note of the first worker that failed."""
    place, handler, logger = tmp_path / "failed", logging.Handler(), logging.getLogger("barlowtf")
    handler.emit = lambda record: place.touch()
    logger.addHandler(handler)
    yield place
    logger.removeHandler(handler)


def test_free_ports_are_different_and_free():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_cluster_configs():
    first, second = map(json.loads, cluster_configs([4001, 4002]))
    assert first["cluster"] == second["cluster"] == {"worker": ["localhost:4001", "localhost:4002"]}
    assert first["task"] == {"type": "worker", "index": 0}
    assert second["task"] == {"type": "worker", "index": 1}


def test_every_worker_knows_the_cluster_and_its_place(capfd):
    # A session of its own: a terminal's Ctrl-C goes to a whole process group and would arrive twice.
    shows = python("import os; print(os.environ['TF_CONFIG'], os.getsid(0) == os.getpid())")
    assert run_workers([shows] * 3) == 0
    out, err = capfd.readouterr()
    lines = [out, *sorted(err.splitlines())]
    configs = []
    for index, (line, prefix) in enumerate(zip(lines, ("", "worker 1: ", "worker 2: "), strict=True)):
        assert line.startswith(prefix + "{")
        config, own_session = line.removeprefix(prefix).rsplit(maxsplit=1)
        configs.append(json.loads(config))
        assert configs[-1]["task"] == {"type": "worker", "index": index}
        assert own_session == "True"
    addresses = configs[0]["cluster"]["worker"]
    assert len(set(addresses)) == 3
    assert all(address.startswith("localhost:") for address in addresses)
    assert all(config["cluster"] == configs[0]["cluster"] for config in configs)


def test_streams(capfdbinary):
    writes = python(r"import os; os.write(1, b'10%\r20%'); os.write(2, b'\xfflog\nend')")
    assert run_workers([writes, writes]) == 0
    out, err = capfdbinary.readouterr()
    assert out == b"10%\r20%"
    chief = b"\xfflog\nend"
    assert chief in err
    assert err.replace(chief, b"", 1).decode() == "worker 1: 10%\nworker 1: 20%\ufffdlog\nworker 1: end\n"


def test_the_chief_keeps_the_terminal():
    """So that its progress bar is one."""
    # In one write: print makes two, and the other worker's line may fall between them.
    shows = python(r"import os; os.write(2, f'{os.isatty(2)}\n'.encode())")
    code = f"from barlowtf.launching import run_workers\nrun_workers({[shows, shows]})"
    terminal, far_end = os.openpty()
    with open(terminal, "rb", buffering=0) as screen:
        subprocess.run(python(code), stderr=far_end, check=True)
        os.close(far_end)
        assert sorted(screen.read(1000).split(b"\r\n")) == [b"", b"True", b"worker 1: False"]


@pytest.mark.parametrize(
    ("commands", "status"),
    [
        ([ends_with(0), ends_with(0)], 0),
        ([ends_with(3), ends_with(0)], 3),
        ([ends_with(0), ends_with(4)], 4),
        ([ends_with(0), python("import os; os.kill(os.getpid(), 9)")], 137),
        ([ends_with(6)], 6),
    ],
    ids=["all well", "chief", "other", "signal", "alone"],
)
def test_status(commands, status):
    assert run_workers(commands) == status


def test_status_is_that_of_the_first_of_the_others(first_failure):
    assert run_workers([ends_with(0), ends_after(first_failure, 4), ends_with(5)]) == 5


def test_the_status_of_the_chief_comes_before_that_of_an_earlier_failure(first_failure):
    assert run_workers([ends_after(first_failure, 3), ends_with(4)]) == 3


def test_others_may_end_by_themselves(log, first_failure):
    assert run_workers([ends_after(first_failure, 0), ends_with(1)]) == 1  # a signal would give 143
    assert log.messages == ["worker 1 ended with status 1; waiting for the others"]


def test_a_worker_that_hangs_after_another_has_died_is_ended(log):
    assert run_workers([SLEEPS, ends_with(1)], grace=0.2) == 128 + signal.SIGTERM
    assert log.messages == [
        "worker 1 ended with status 1; waiting for the others",
        "worker 0 did not end: sending SIGTERM",
    ]


def test_a_worker_that_ignores_sigterm_is_killed_with_its_children(log, tmp_path):
    lock = tmp_path / "lock"
    child = (
        "import fcntl, sys, time\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('locked', file=file, flush=True)\n"
        f"time.sleep({PATIENCE})"
    )
    stubborn = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    )
    dies = (
        "import pathlib, sys, time\n"
        "lock = pathlib.Path(sys.argv[1])\n"
        "while not (lock.exists() and lock.read_text()): time.sleep(0.02)\n"
        "sys.exit(1)"
    )
    assert run_workers([python(dies, lock), python(stubborn, child, lock)], grace=0.1, patience=0.1) == 1
    assert log.messages[-1] == "worker 1 did not end: sending SIGKILL"
    until = time.monotonic() + PATIENCE / 2  # The child would hold it for all of it.
    with lock.open() as file:
        while time.monotonic() < until:
            with suppress(BlockingIOError):
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(0.02)
    pytest.fail("the child of the killed worker still holds its lock")


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_reach_every_worker(tmp_path, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here, as under nohup, and stays ignored")
    worker = (
        "import pathlib, signal, sys, time\n"
        "place = pathlib.Path(sys.argv[1])\n"
        "def note(number, _):\n"
        "    with place.open('a') as file: file.write(str(number) + ' ')\n"
        f"for number in {[int(each) for each in SIGNALS]}: signal.signal(number, note)\n"
        "place.touch()\n"
        f"end = time.monotonic() + {PATIENCE}\n"  # should the test fail, nothing stays
        "while not place.read_text() and time.monotonic() < end: time.sleep(0.02)\n"
        "sys.exit(20)"
    )
    places = [tmp_path / "0", tmp_path / "1"]
    commands = [python(worker, place) for place in places]
    code = f"import sys\nfrom barlowtf.launching import run_workers\nsys.exit(run_workers({commands}))"
    launcher = subprocess.Popen(python(code), stderr=subprocess.PIPE)
    while not all(place.exists() for place in places):
        time.sleep(0.02)
        assert launcher.poll() is None
    launcher.send_signal(number)
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 20
    assert b"Traceback" not in err
    assert [place.read_text() for place in places] == [f"{int(number)} "] * 2


def test_ignored_signals_stay_ignored():
    code = "import signal, sys; sys.exit(signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN)"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_workers([python(code), python("import os; os.kill(os.getppid(), 1)")]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    run_workers([ends_with(0)])
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_nothing_is_left_when_a_worker_cannot_be_started(monkeypatch):
    started = []

    class Noted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run_workers([SLEEPS, SLEEPS, ["no-such-program"]])
    assert [worker.wait(timeout=PATIENCE) for worker in started] == [-signal.SIGKILL] * 2


def test_a_process_left_behind_does_not_hold_the_launcher(tmp_path):
    leaves = (
        "import pathlib, subprocess, sys\n"
        f"left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep({PATIENCE})'])\n"
        "pathlib.Path(sys.argv[1]).write_text(str(left.pid))"
    )
    assert run_workers([ends_with(0), python(leaves, tmp_path / "left")]) == 0
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)  # and it is still there
