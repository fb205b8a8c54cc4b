"""Jobs: programs that run as processes, several at once, each with a log of its own."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from barlowtf.launching.signals import signals_as_events

# The command line of barlowtf for as long as its standard input is open.
TETHERED = (sys.executable, "-m", "barlowtf.launching.tethered")


@dataclass(frozen=True)
class Job:
    """Commands that run one after the other, until one fails.

    Attributes:
        name: For messages.
        commands: Program and arguments of each command; those of barlowtf start with `TETHERED`.
        log: File to which standard output and error are appended.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    log: Path


class EndedJob(NamedTuple):
    """How a job ended."""

    job: Job
    status: int  # 0 to 255, of the last command that ran
    seconds: float  # wall time of all its commands


_Events: TypeAlias = "queue.SimpleQueue[EndedJob | signal.Signals | int]"


def run_jobs(
    jobs: Sequence[Job],
    *,
    slots: int,
    ended: Callable[[EndedJob], object],
    environment: Callable[[int], Mapping[str, str]] = lambda slot: {},
    patience: float = 60.0,
) -> signal.Signals | None:
    """Runs jobs, some at a time, in their order. Call it from the main thread.

    A signal goes to all that run; no other job starts, and those that run save and end. Standard input of each command
    is a pipe that closes with this process: one that starts with `TETHERED` ends, as by SIGTERM, when it is killed.

    Args:
        jobs: What to run.
        slots: Maximum number of jobs at a time, >= 1.
        ended: Called in this thread as each job ends, but not for those that a signal stopped.
        environment: Slot, from 0 -> environment variables for what runs in it.
        patience: Time from SIGTERM to SIGKILL where `ended` raises, s.

    Returns:
        The signal that stopped the jobs; None where all have ended.

    Raises:
        OSError: A process cannot be started.
    """
    events: _Events = queue.SimpleQueue()
    pool = _Pool(jobs, environment, events)
    threads = [threading.Thread(target=pool.work, args=(slot,), daemon=True) for slot in range(min(slots, len(jobs)))]
    received: signal.Signals | None = None
    with signals_as_events(events.put):
        try:
            for thread in threads:
                thread.start()
            working = len(threads)
            while working:
                event = events.get()
                if isinstance(event, signal.Signals):
                    received = received or event
                    pool.stop(event)
                elif isinstance(event, int):
                    working -= 1
                elif received is None:
                    ended(event)
        finally:
            pool.stop(signal.SIGTERM)
            for thread in threads:
                thread.join(patience)
            pool.stop(signal.SIGKILL)
    if pool.failure is not None:
        raise pool.failure
    return received


class _Pool:
    """The jobs that wait and the processes that run, shared by one thread a slot."""

    def __init__(self, jobs: Sequence[Job], environment: Callable[[int], Mapping[str, str]], events: _Events) -> None:
        """Starts nothing yet."""
        self.failure: OSError | None = None
        self._waiting: Iterator[Job] = iter(jobs)
        self._environment = environment
        self._events = events
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._stopped = False
        self._lock = threading.Lock()

    def work(self, slot: int) -> None:
        """Runs jobs in a slot until none waits; tells each end, and at last the slot."""
        try:
            while (job := self._next()) is not None:
                started = time.monotonic()
                status = self._run(job, slot)
                self._events.put(EndedJob(job, status, time.monotonic() - started))
        except OSError as error:
            self.failure = error
            self.stop(signal.SIGTERM)
        finally:
            self._events.put(slot)

    def stop(self, number: signal.Signals) -> None:
        """Sends a signal to what runs; nothing starts any more."""
        with self._lock:
            self._stopped = True
            for process in self._running.values():
                with suppress(ProcessLookupError):
                    if number is signal.SIGKILL:
                        os.killpg(process.pid, number)
                    else:
                        process.send_signal(number)

    def _next(self) -> Job | None:
        with self._lock:
            return None if self._stopped else next(self._waiting, None)

    def _run(self, job: Job, slot: int) -> int:
        """Returns the status of a job."""
        status = 0
        for command in job.commands:
            process = self._start(job, command, slot)
            if process is None:
                return 128 + signal.SIGTERM
            code = process.wait()
            with self._lock:
                del self._running[slot]
            if process.stdin is not None:
                process.stdin.close()
            status = code if code >= 0 else 128 - code
            if status:
                break
        return status

    def _start(self, job: Job, command: tuple[str, ...], slot: int) -> subprocess.Popen[bytes] | None:
        """Starts a command; None where the jobs have been stopped."""
        with self._lock:
            if self._stopped:
                return None
            self._running[slot] = start_command(command, log=job.log, environment=self._environment(slot))
            return self._running[slot]


def start_command(command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own, its standard input a pipe that this process holds.

    Args:
        command: Program and arguments.
        log: File to which standard output and error are appended.
        environment: Variables beside those of this process.

    Raises:
        OSError: It cannot be started, or the log cannot be written.
    """
    with open(log, "ab") as file:
        return subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
