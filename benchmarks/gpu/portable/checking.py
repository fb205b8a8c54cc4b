"""Compiles every program and compares its first steps with TensorFlow's, where those were recorded."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from . import results, xla
from .errors import one_line
from .traced import TracedStep


def check_programs(folder: Path, cases: dict[str, Any], out: Path) -> None:
    """Writes check.json: sizes, compile time and memory of each program, and how far its results are from TensorFlow's.

    Args:
        folder: Of the traced cases.
        cases: Entries of cases.json by name.
        out: Folder of check.json.
    """
    device = xla.open_device(allow_cpu=True)
    checked: dict[str, Any] = {}
    for case in cases.values():
        for name in case["programs"].values():
            checked[name] = {"packed_bytes": (folder / f"{name}.mlir.gz").stat().st_size}
            try:
                traced = TracedStep(folder, name, device)
                seconds = round(traced.program.compile_seconds, 1)
                checked[name] |= {"compile_seconds": seconds, **traced.program.memory_bytes()}
                if "reference" in traced.facts:
                    checked[name] |= _compare(traced)
            except Exception as error:  # Any error of the compiler is a finding of this check.
                checked[name]["error"] = one_line(error)
            sys.stderr.write(f"{name}: {checked[name]}\n")
            results.write(out / "check.json", {"machine": results.describe_machine(), "programs": checked})


def _compare(traced: TracedStep) -> dict[str, Any]:
    """Returns how many steps were compared, and the largest relative difference of a scalar that they return."""
    traced.reset()
    names, largest = traced.facts["outputs"], 0.0
    for expected in traced.facts["reference"]:
        outputs = dict(zip(names, traced(), strict=True))
        for name, value in expected.items():
            difference = abs(float(np.asarray(outputs[name])) - value)
            largest = max(largest, difference / max(abs(value), 1e-30))
    return {"compared_steps": len(traced.facts["reference"]), "largest_relative_difference": largest}
