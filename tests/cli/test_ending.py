"""How the program ends: by a signal where an exception would be lost, and with output that goes nowhere."""

import itertools
import os
import signal
import subprocess
import sys

import pytest

# Decides nothing but when a test that hangs is given up.
PATIENCE = 300
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143, signal.SIGUSR1: 138}

# What runs when the signal comes; each says that it is there, and none would end by itself.
MOMENTS = {
    "waiting": "say(); time.sleep(1000)",
    "in the callback of a weak reference": """
class Thing: pass
def forever(_):
    say()
    time.sleep(1000)
thing = Thing(); reference = weakref.ref(thing, forever); del thing
""",
    "in a finalizer": """
class Thing:
    def __del__(self):
        say()
        time.sleep(1000)
thing = Thing(); del thing
""",
    "in code that catches everything": """
say()
while True:
    try: time.sleep(1000)
    except BaseException: pass
""",
    "in an import": """
pathlib.Path('slow.py').write_text('import time, builtins; builtins.say(); time.sleep(1000)')
sys.path.insert(0, '.')
try: import slow
except ImportError: pass
""",
    "in native code that returns to Python at its end": """
say(); hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)
""",
    "while a file is being written": """
from barlowtf import atomic
with atomic.whole_file(pathlib.Path('file')) as aside:
    aside.write_text('half')
    say(); time.sleep(1000)
""",
    "while a folder is being filled": """
from barlowtf import atomic
with atomic.whole_folder(pathlib.Path('new/deep/folder')) as aside:
    (aside / 'part').write_text('half')
    say(); time.sleep(1000)
""",
    "while a folder is reserved": """
from barlowtf import runs
with runs.locked(pathlib.Path('.')):
    say(); time.sleep(1000)
""",
    "while another thread writes": """
threading.Thread(target=lambda: [print('x', end='') for _ in itertools.count()], daemon=True).start()
say(); time.sleep(1000)
""",
}
HEAD = """
import builtins, hashlib, itertools, os, pathlib, sys, threading, time, weakref
def say(): os.write(2, b'there\\n')
builtins.say = say
from barlowtf_cli.signals import ending_by_signals
"""


def started(code, folder, hung_up=signal.SIG_DFL):
    """Returns a program that has said that it is there; `hung_up` is what it does at a hang-up when it starts."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    process = subprocess.Popen(
        [sys.executable, "-c", f"{HEAD}\nwith ending_by_signals():\n{body}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, hung_up),
    )
    assert process.stderr.readline() == "there\n"
    return process


@pytest.mark.parametrize(("moment", "number"), list(zip(MOMENTS, itertools.cycle(SIGNALS), strict=False)))
def test_a_signal_ends_the_program_wherever_it_comes(tmp_path, moment, number):
    process = started(MOMENTS[moment], tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == STATUS[number]
    assert errors == f"Stopped by {number.name}. The same command starts again, and goes on from what is kept.\n"
    left = {path.name for path in tmp_path.rglob("*")} - {"slow.py", "__pycache__", ".lock"}
    assert not any(not name.startswith("slow.") for name in left)


def test_a_hang_up_that_is_ignored_stays_ignored(tmp_path):
    """As under nohup."""
    code = "os.kill(os.getpid(), 1)\nsay()\nos.kill(os.getpid(), 15)"
    process = started(code, tmp_path, hung_up=signal.SIG_IGN)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == STATUS[signal.SIGTERM]


def test_what_was_handled_before_is_handled_again():
    from barlowtf_cli.signals import ending_by_signals

    before = [signal.getsignal(number) for number in SIGNALS]
    with ending_by_signals():
        assert signal.getsignal(signal.SIGTERM) not in before
        with ending_by_signals():
            pass
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_file_that_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    from barlowtf import atomic

    process = started(MOMENTS["while a file is being written"], tmp_path)
    process.kill()
    process.communicate()
    (left,) = tmp_path.iterdir()
    running = started(MOMENTS["while a file is being written"], tmp_path)
    assert not left.exists()
    (kept,) = tmp_path.iterdir()
    atomic._tidied.discard(str(tmp_path))
    atomic.write_file(tmp_path / "other", "x")
    assert kept.exists()  # Its writer is still there.
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=PATIENCE)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


PROGRAM = [sys.executable, "-m", "barlowtf"]
WRONG = [*PROGRAM, "pretrain", "--config", "digit"]
FULL = "/dev/full"


@pytest.mark.skipif(not os.path.exists(FULL), reason="this system has no device that is always full")
@pytest.mark.parametrize("words", [["--help"], ["pretrain", "-h"], ["--version"]])
def test_results_that_cannot_be_delivered_are_an_error(words):
    with open(FULL, "w") as full:
        result = subprocess.run([*PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "Error: Cannot use standard output: No space left on device.\n"


@pytest.mark.skipif(not os.path.exists(FULL), reason="this system has no device that is always full")
def test_messages_that_cannot_be_delivered_are_dropped():
    with open(FULL, "w") as full:
        result = subprocess.run(
            [*PROGRAM, "pretrain", "--config", "digit", "--json"], stdout=-1, stderr=full, check=False
        )
    assert result.returncode == 1
    assert b"Did you mean 'digits'?" in result.stdout


def test_a_reader_that_goes_away_is_no_error_to_be_told():
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run([*PROGRAM, "pretrain", "-h"], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert result.stderr == b""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_go_nowhere(closed):
    def close():
        for descriptor in closed:
            os.close(descriptor)

    result = subprocess.run(
        [*PROGRAM, "pretrain", "--config", "digit"], capture_output=True, preexec_fn=close, check=False
    )
    assert result.returncode == 1
    assert b"Traceback" not in result.stderr
    assert (b"Did you mean" in result.stderr) == (2 not in closed)


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    """Else messages would be written into it."""
    code = "from barlowtf_cli.streams import open_streams\nopen_streams()\nexit(open('file', 'w').fileno() < 3)"

    def close():
        for descriptor in range(3):
            os.close(descriptor)

    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, preexec_fn=close, check=False).returncode == 0
