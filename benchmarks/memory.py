"""The memory that `barlowtf pretrain --dry-run` foretells, beside the peak of the run itself.

Each case is a run of three epochs of three steps on noise, in a process of its own; its peak is the largest resident
memory that run.json records. The estimate is that of the plan, with what the framework and the copy for saves take.

Command: python -m benchmarks.memory [CASE...]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import machine

NAME = "memory"
_EPOCHS = 3
# Case -> images' side, and what differs from the recipe digits.
CASES: dict[str, tuple[int, tuple[str, ...]]] = {
    "digits": (8, ("train.batch_size=128",)),
    "resnet10 24 float32": (32, ("model.encoder=resnet10", "augment.size=24", "model.projector=[1024, 1024, 1024]")),
    "resnet10 24 bfloat16": (
        32,
        (
            "model.encoder=resnet10",
            "augment.size=24",
            "model.projector=[1024, 1024, 1024]",
            "train.precision=mixed_bfloat16",
        ),
    ),
    "resnet18 64 float32": (96, ("model.encoder=resnet18", "augment.size=64", "model.projector=[2048, 2048, 2048]")),
    "resnet18 64 bfloat16": (
        96,
        (
            "model.encoder=resnet18",
            "augment.size=64",
            "model.projector=[2048, 2048, 2048]",
            "train.precision=mixed_bfloat16",
        ),
    ),
    "resnet18 64 projector 8192": (
        96,
        ("model.encoder=resnet18", "augment.size=64", "model.projector=[8192, 8192, 8192]", "train.batch_size=32"),
    ),
    "resnet50 128 float32": (
        160,
        (
            "model.encoder=resnet50",
            "augment.size=128",
            "model.projector=[2048, 2048, 2048]",
            "train.batch_size=16",
        ),
    ),
    "resnet50 128 micro-batch": (
        160,
        (
            "model.encoder=resnet50",
            "augment.size=128",
            "model.projector=[2048, 2048, 2048]",
            "train.batch_size=32",
            "train.micro_batch=8",
        ),
    ),
    "MobileNetV3Small 96 float32": (
        128,
        (
            "model.encoder=keras:MobileNetV3Small",
            "augment.size=96",
            "model.projector=[1024, 1024, 1024]",
            "train.batch_size=32",
        ),
    ),
    "vit_ti16 96 float32": (
        128,
        (
            "model.encoder=vit_ti16",
            "augment.size=96",
            "model.projector=[1024, 1024, 1024]",
            "train.batch_size=32",
            "optimizer.name=adamw",
        ),
    ),
}


def measure(case: str) -> dict[str, Any]:
    """Returns the estimate and the peak of one case, bytes."""
    side, settings = CASES[case]
    settings = (
        "data.channels=3",
        "augment.mean=[0.5]",
        "augment.std=[0.25]",
        f"train.epochs={_EPOCHS}",
        "optimizer.warmup_epochs=0",
        "monitor.collapse_every_epochs=none",
        "train.batch_size=64",
        *settings,
    )
    batch = int([setting for setting in settings if setting.startswith("train.batch_size=")][-1].partition("=")[2])
    r = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for number in range(3 * batch):
            Image.fromarray(r.integers(0, 256, (side, side, 3), np.uint8)).save(photos / f"{number}.bmp")
        words = ["pretrain", "--config", "digits", "--data", str(photos), "--json", "--run-dir", f"{folder}/run"]
        for setting in settings:
            words += ["--set", setting]
        plan = _barlowtf(*words, "--dry-run")["plan"]
        peak = _barlowtf(*words)["peak_memory_bytes"]
    parts = plan["memory_bytes_per_replica"]
    estimate = sum(parts.values()) + plan["host_bytes"]
    return {"parts": parts, "estimate_bytes": estimate, "peak_bytes": peak}


def _barlowtf(*words: str) -> Any:
    command = [sys.executable, "-m", "barlowtf", *words]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


if __name__ == "__main__":
    cases = {}
    for name in sys.argv[1:] or CASES:
        cases[name] = measure(name)
        ratio = cases[name]["estimate_bytes"] / cases[name]["peak_bytes"]
        print(f"{name:32} {cases[name]} {ratio:.2f}", file=sys.stderr)
        # After each case: all of them take their time.
        machine.write_result(NAME, {**machine.describe_machine(), "cases": cases})
