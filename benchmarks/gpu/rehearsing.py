"""Every case and the training run on a CPU, scaled down: shows that the folder runs, measures no card."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.gpu.cases import CASES, scaled_down
from benchmarks.gpu.collecting import collect, write_encoder
from benchmarks.gpu.packing import pack
from benchmarks.gpu.tracing import copy_runner, trace

_IMAGES = 2000
_EPOCHS = 2
_STOP_AFTER = 25


def rehearse(folder: Path, images: str, *, skip: list[str], minutes: float) -> dict[str, Any]:
    """Returns what the scaled-down cases gave: their turns, and a training run that is stopped once and resumed.

    Args:
        folder: Where the programs go; it is made where it is missing. Programs that an earlier rehearsal left are used.
        images: Data of the training run.
        skip: Sides to leave out.
        minutes: Time of each of the three runs.

    Raises:
        RuntimeError: A run fails.
    """
    if not _has_all_cases(folder):
        pack(images, folder, limit=_IMAGES)
        trace({name: scaled_down(case) for name, case in CASES.items()}, folder)
    copy_runner(folder)
    _run(folder, "--calls", "2", "--minutes", str(minutes), *(["--skip", *skip] if skip else []))
    of_training = ("train", "--epochs", str(_EPOCHS), "--minutes", str(minutes))
    _run(folder, *of_training, "--stop-after", str(_STOP_AFTER))
    stopped = json.loads((folder / "results" / "results.json").read_text(encoding="utf-8"))["cases"]["train"]
    _run(folder, *of_training)
    return {
        "stopped_run": stopped,
        "folder_bytes": folder_bytes(folder),
        "encoder_written": write_encoder(folder, folder / "results") is not None,
        **collect(folder, folder / "results"),
    }


def check_full_size(folder: Path) -> dict[str, Any]:
    """Returns the size of every full-size program, and how long JAX takes to compile it for this CPU.

    Args:
        folder: Holds the traced cases.
    """
    _run(folder, "--check")
    checked = json.loads((folder / "results" / "check.json").read_text(encoding="utf-8"))
    traced = json.loads((folder / "cases.json").read_text(encoding="utf-8"))["traced"]
    return {"traced": traced, "folder_bytes": folder_bytes(folder), **checked}


def folder_bytes(folder: Path) -> dict[str, int]:
    """Returns the bytes that travel: programs and runner, and the images."""
    data = folder / "data.npz"
    names = ("*.mlir.gz", "*.json", "run.py", "portable/*.py")
    programs = sum(file.stat().st_size for name in names for file in folder.glob(name))
    return {"programs": programs, "images": data.stat().st_size if data.exists() else 0}


def _has_all_cases(folder: Path) -> bool:
    file = folder / "cases.json"
    return file.exists() and set(json.loads(file.read_text(encoding="utf-8"))["cases"]) == set(CASES)


def _run(folder: Path, *arguments: str) -> None:
    command = [sys.executable, str(folder / "run.py"), *arguments, "--allow-cpu"]
    # Compiling without optimization takes half the time; nothing here is a figure.
    flags = {"XLA_FLAGS": "--xla_backend_optimization_level=0", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env={**os.environ, **flags}, cwd=machine.ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with status {done.returncode}.")
