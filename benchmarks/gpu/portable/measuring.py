"""Measures cases: workers take turns, and what is known is written after every one of them."""

import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .deadline import Deadline
from .workers import Worker, WorkerError

# Workers of a group hold their memory at the same time where as many of the first one's peak fill no more of the card.
_SHARE_FOR_ALL = 0.9
# A case that begins with less than this has no chance to end.
_SHORTEST_CASE = 20.0


def measure_rates(folder: Path, deadline: Deadline, *, allow_cpu: bool) -> dict[str, Any]:
    """Returns the device and its rate of matrix products.

    Raises:
        WorkerError: There is no JAX, or no GPU.
    """
    with Worker(folder, "", "rates", deadline, allow_cpu=allow_cpu) as worker:
        return worker.ask("rates")


class CaseMeasurement:
    """One case: its workers, their turns and what came of them.

    Attributes:
        result: JSON: "sides" by label, "failures" by label, "order".
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        case: dict[str, Any],
        deadline: Deadline,
        *,
        calls: int,
        peers_first: bool,
        skip: tuple[str, ...],
        allow_cpu: bool,
        memory_bytes: int | None,
        save: Callable[[dict[str, Any]], None],
    ) -> None:
        """Keeps the settings.

        Args:
            folder: Of the traced cases.
            name: Of the case.
            case: Its entry of cases.json.
            deadline: Of the run.
            calls: Timed calls of each side, at least.
            peers_first: Whether PyTorch comes first where only one process fits on the card.
            skip: Labels of sides that are not measured.
            allow_cpu: Whether a CPU will do.
            memory_bytes: Of the card; None: not known, all processes fit.
            save: Takes the result after each turn.
        """
        self._folder, self._name, self._case, self._deadline = folder, name, case, deadline
        self._calls, self._peers_first, self._skip, self._allow_cpu = calls, peers_first, skip, allow_cpu
        self._memory, self._save = memory_bytes, save
        self.result: dict[str, Any] = {"sides": {}, "failures": {}, "order": []}

    def run(self) -> None:
        """Measures every side, group after group; a side that fails is recorded and the others go on."""
        for group in self._case["groups"]:
            workers = group[::-1] if self._peers_first else group
            if self._deadline.left < _SHORTEST_CASE:
                for worker in workers:
                    self._fail(worker, "The time of the run was over.")
                continue
            self._measure_group(workers)

    def _measure_group(self, names: list[str]) -> None:
        """Alternates where all of a group fit on the card together; measures one after the other where not."""
        half = -(-self._calls // 2)
        waiting = list(names)
        with ExitStack() as stack:
            open_sides: list[tuple[Worker, str]] = []
            while waiting:
                worker = stack.enter_context(self._worker(waiting.pop(0)))
                sides = self._start(worker)
                open_sides += [(worker, side) for side in sides]
                if waiting and sides and not self._fits_beside(sides, len(names)):
                    self._turns([(worker, side) for side in sides], self._calls)
                    open_sides = []
                    stack.close()
            # There and back, so that a drift of the clocks meets all sides alike.
            self._turns(open_sides, half)
            self._turns(open_sides[::-1], half)

    def _worker(self, name: str) -> Worker:
        return Worker(self._folder, self._name, name, self._deadline, allow_cpu=self._allow_cpu)

    def _start(self, worker: Worker) -> list[str]:
        """Returns the sides of a worker that have warmed up."""
        started = []
        try:
            sides = worker.ask("open")["sides"]
        except WorkerError as error:
            self._fail(worker.name, str(error))
            return []
        for side in sides:
            if side in self._skip:
                continue
            try:
                facts = worker.ask("start", side)
            except WorkerError as error:
                self._fail(side, str(error))
                continue
            self.result["sides"][side] = {**facts, "seconds": []}
            started.append(side)
            self._say(side, f"compiled in {facts['compile_seconds'] or 0:.1f} s")
        return started

    def _fits_beside(self, sides: list[str], workers: int) -> bool:
        peaks = [self.result["sides"][side]["peak_bytes"] for side in sides]
        if self._memory is None or None in peaks:
            return True
        return workers * max(peaks) <= _SHARE_FOR_ALL * self._memory

    def _turns(self, open_sides: list[tuple[Worker, str]], calls: int) -> None:
        for worker, side in open_sides:
            if side in self.result["failures"]:
                continue
            try:
                turn = worker.ask("turn", side, calls)
            except WorkerError as error:
                self._fail(side, str(error))
                continue
            known = self.result["sides"][side]
            known["seconds"] += turn["seconds"]
            known["last_result"] = turn["last_result"]
            known["peak_bytes"] = max(known["peak_bytes"] or 0, turn["peak_bytes"] or 0) or None
            known["median_seconds"] = statistics.median(known["seconds"])
            self.result["order"].append([side, len(turn["seconds"])])
            self._say(side, f"{known['median_seconds'] * 1e3:.2f} ms")
            self._save(self.result)

    def _fail(self, label: str, reason: str) -> None:
        self.result["failures"][label] = reason
        self._say(label, reason)
        self._save(self.result)

    def _say(self, label: str, text: str) -> None:
        sys.stderr.write(f"{self._name:24} {label:16} {text}\n")
        sys.stderr.flush()
