"""What a worker process measures: programs of this library under JAX, or the same work in PyTorch."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import xla
from .errors import MachineError
from .traced import TracedStep

# Calls before any is timed: the first ones allocate, choose kernels and raise the clocks.
_WARM_UP = 3
# A turn goes on until it has taken so long, or so many calls: 20 calls of a millisecond are no measurement.
_TURN_SECONDS, _TURN_CALLS = 0.5, 200


class JaxSide:
    """One program of a case."""

    def __init__(self, folder: Path, case: dict[str, Any], variant: str, *, allow_cpu: bool) -> None:
        """Compiles it and draws its first values."""
        self._device = xla.open_device(allow_cpu=allow_cpu)
        self._step = TracedStep(folder, case["programs"][variant], self._device, cache=str(folder / "cache"))
        self._step.reset()
        self._first_scalar = self._step.facts["outputs"].index("mean" if case["kind"] == "inference" else "loss")

    def start(self) -> dict[str, Any]:
        """Runs the calls before the first timed one."""
        last = _warm_up(self._call)
        stats = {f"compiler_{name}_bytes": size for name, size in self._step.program.memory_bytes().items()}
        return {"compile_seconds": self._step.program.compile_seconds, "first_result": last, **stats, **self._peak()}

    def turn(self, calls: int) -> dict[str, Any]:
        """Times calls."""
        seconds, last = _timed(self._call, calls)
        return {"seconds": seconds, "last_result": last, **self._peak()}

    def _call(self) -> float:
        return float(np.asarray(self._step()[self._first_scalar]))  # Waits for the device.

    def _peak(self) -> dict[str, Any]:
        return {"peak_bytes": xla.memory(self._device).get("peak_bytes_in_use")}


class TorchSide:
    """PyTorch, eager or compiled."""

    def __init__(self, peer: Any, *, compiled: bool) -> None:
        """Shares the peer's modules with the other one of the two."""
        self._peer, self._compiled = peer, compiled

    def start(self) -> dict[str, Any]:
        """Runs the calls before the first timed one, compiling on the way."""
        self._peer.reset_peak()
        started = time.perf_counter()
        first = self._call()
        seconds = time.perf_counter() - started
        _warm_up(self._call)
        return {"compile_seconds": seconds if self._compiled else None, "first_result": first, **self._peak()}

    def turn(self, calls: int) -> dict[str, Any]:
        """Times calls."""
        self._peer.reset_peak()
        seconds, last = _timed(self._call, calls)
        return {"seconds": seconds, "last_result": last, **self._peak()}

    def _call(self) -> float:
        return self._peer.run(compiled=self._compiled)

    def _peak(self) -> dict[str, Any]:
        return {"peak_bytes": self._peer.peak_bytes()}


def open_sides(folder: Path, case: dict[str, Any], worker: str, *, tf32: bool, allow_cpu: bool) -> dict[str, Any]:
    """Returns the sides of a worker by their labels: one program, or both ways of PyTorch.

    Raises:
        MachineError: There is no JAX, or no GPU.
    """
    if worker != "pytorch":
        return {worker: JaxSide(folder, case, worker, allow_cpu=allow_cpu)}
    try:
        from .peer import Peer
    except ImportError as error:
        raise MachineError(f"PyTorch is missing ({error}).") from error

    peer = Peer(case["peer"], tf32=tf32)
    if peer.device.type == "cpu" and not allow_cpu:
        raise MachineError("PyTorch finds no GPU.")
    return {"pytorch-eager": TorchSide(peer, compiled=False), "pytorch-compile": TorchSide(peer, compiled=True)}


def _warm_up(call: Callable[[], float]) -> float:
    return [call() for _ in range(_WARM_UP)][0]


def _timed(call: Callable[[], float], calls: int) -> tuple[list[float], float]:
    """Returns the seconds of at least `calls` calls, and what the last one returned; one call comes before them."""
    call()
    seconds: list[float] = []
    last = float("nan")
    while len(seconds) < calls or (sum(seconds) < _TURN_SECONDS and len(seconds) < _TURN_CALLS):
        started = time.perf_counter()
        last = call()
        seconds.append(time.perf_counter() - started)
    return seconds, last
