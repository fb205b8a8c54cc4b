"""Local processes that stand for several machines, so that a multi-worker run can be rehearsed on one.

`run_workers` starts one process per worker, forwards signals and returns one exit status. It depends neither on
TensorFlow nor on the commands that it runs.
"""

import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import IO, NamedTuple, TypeAlias

from barlowtf.launching.signals import signals_as_events

_LOG = logging.getLogger("barlowtf")


class _Ended(NamedTuple):
    """A worker and its exit status, 0 to 255."""

    worker: int
    status: int


_Events: TypeAlias = "queue.SimpleQueue[_Ended | signal.Signals]"


def free_ports(count: int) -> list[int]:
    """Returns different TCP ports on which nothing listens, for servers that start soon.

    Args:
        count: Number of ports.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            # Free on every interface, not on the loopback alone: TensorFlow's server listens on all of them.
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]


def cluster_configs(ports: Sequence[int]) -> list[str]:
    """Returns TF_CONFIG of every worker of a cluster on this machine, worker i at `ports[i]`."""
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    return [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}) for index in range(len(ports))]


def run_workers(commands: Sequence[Sequence[str]], *, grace: float = 60.0, patience: float = 10.0) -> int:
    """Runs local processes as the workers of one cluster, by their TF_CONFIG, and returns one exit status.

    Worker 0, the chief, writes to standard output and error of this process. The lines of the others appear on standard
    error, each after "worker 1: ". SIGINT, SIGTERM, SIGUSR1 and SIGHUP go to all workers, unless this process was
    started with the signal ignored. Call it from the main thread.

    Args:
        commands: Program and arguments of each worker.
        grace: Time that the others have to end after one has ended with an error, s; SIGTERM follows.
        patience: Time from SIGTERM to SIGKILL, s.

    Returns:
        0 when all ended with 0; else the chief's status if it is not 0; else that of the first that failed.
        A worker that signal N ended has status 128 + N.

    Raises:
        OSError: A command cannot be started. The workers before it are killed.
    """
    configs = cluster_configs(free_ports(len(commands)))
    events: _Events = queue.SimpleQueue()
    workers: list[subprocess.Popen[str]] = []
    with signals_as_events(events.put):
        try:
            for index, (command, config) in enumerate(zip(commands, configs, strict=True)):
                workers.append(_start(index, command, config))
                threading.Thread(target=_watch, args=(index, workers[-1], events), daemon=True).start()
            ended = _supervise(workers, events, grace, patience)
        finally:
            for worker in workers:
                _kill(worker)
    statuses = (status for status in ended.values() if status)
    return ended[0] or next(statuses, 0)


def _start(index: int, command: Sequence[str], config: str) -> subprocess.Popen[str]:
    """Starts one worker, in a session of its own so that Ctrl-C reaches it once, through this process."""
    chief = index == 0
    return subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": config},
        stdin=subprocess.DEVNULL,
        stdout=None if chief else subprocess.PIPE,
        stderr=None if chief else subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _watch(index: int, worker: subprocess.Popen[str], events: _Events) -> None:
    """Relays the output of a worker, then reports how it ended."""
    relay = None
    if worker.stdout is not None:
        relay = threading.Thread(target=_relay, args=(index, worker.stdout), daemon=True)
        relay.start()
    status = worker.wait()
    if relay is not None:
        # With a limit: a process that the worker has left behind may hold the pipe open.
        relay.join(timeout=1.0)
    events.put(_Ended(index, status if status >= 0 else 128 - status))


def _relay(index: int, stream: IO[str]) -> None:
    """Repeats lines on standard error, after the name of the worker."""
    with stream:
        for line in stream:
            text = line.removesuffix("\n")
            # Even if standard error is closed, the pipe must be read, or the worker would block on it.
            with suppress(OSError):
                sys.stderr.write(f"worker {index}: {text}\n")


def _supervise(
    workers: Sequence[subprocess.Popen[str]], events: _Events, grace: float, patience: float
) -> dict[int, int]:
    """Returns the exit status of each worker, {index: status} in the order in which they ended."""
    ended: dict[int, int] = {}
    escalation = iter(((signal.SIGTERM, patience), (signal.SIGKILL, None)))
    failed = False
    deadline: float | None = None
    while len(ended) < len(workers):
        running = {index: worker for index, worker in enumerate(workers) if index not in ended}
        try:
            event = events.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            number, wait = next(escalation)
            _LOG.warning("%s did not end: sending %s", _names(running), number.name)
            for worker in running.values():
                if number is signal.SIGKILL:
                    _kill(worker)
                else:
                    worker.send_signal(number)
            deadline = None if wait is None else time.monotonic() + wait
            continue
        if isinstance(event, signal.Signals):
            for worker in running.values():
                worker.send_signal(event)
            continue
        ended[event.worker] = event.status
        if event.status and not failed and len(running) > 1:
            _LOG.warning("worker %d ended with status %d; waiting for the others", event.worker, event.status)
            deadline = time.monotonic() + grace
        failed = failed or event.status != 0
    return ended


def _names(indices: Iterable[int]) -> str:
    """Returns the names as in the prefixes: "worker 0, worker 2"."""
    return ", ".join(f"worker {index}" for index in indices)


def _kill(worker: subprocess.Popen[str]) -> None:
    """Kills a worker that still runs, and the processes that it has started."""
    if worker.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
