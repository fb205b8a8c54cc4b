"""Starts worker processes, talks to them and ends them; see `worker` for what they do."""

import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .deadline import Deadline


class WorkerError(Exception):
    """A worker has no answer; the message is the reason in one line."""


class Worker:
    """One worker process; a context that ends it."""

    def __init__(self, folder: Path, case: str, name: str, deadline: Deadline, *, allow_cpu: bool) -> None:
        """Starts the process.

        Args:
            folder: Of the traced cases.
            case: Name of the case, "" for none.
            name: "pytorch", or a program of the case.
            deadline: No answer is waited for beyond it.
            allow_cpu: Whether a CPU will do.
        """
        self.name = name
        self._deadline = deadline
        self._log = (folder / "worker.log").open("ab")
        command = [sys.executable, str(folder / "run.py"), "--worker", case, name]
        self._process = subprocess.Popen(
            [*command, *(["--allow-cpu"] if allow_cpu else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def ask(self, *request: Any) -> dict[str, Any]:
        """Returns the answer to a request.

        Raises:
            WorkerError: The worker says why there is none, it died, or the time is up.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError(self._death()) from error
        ready, _, _ = select.select([stdout], [], [], self._deadline.left)
        if not ready:
            raise WorkerError("The time of the run was over.")
        line = stdout.readline()
        if not line:
            raise WorkerError(self._death())
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def __enter__(self) -> Self:
        """Returns the worker."""
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends the process; the memory of the card is free afterwards."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _death(self) -> str:
        return f"The process of {self.name} ended with status {self._process.wait()}; its last words are in worker.log."
