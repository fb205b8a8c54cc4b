"""Kills a training run at random moments, again and again, and compares its weights with those of the unbroken run.

python -m benchmarks.kills [--kills N] [--seed S]; writes results/kills.json. Every kill is a real `kill -9` of a real
process that trains on the digits and saves after every step, so that many kills fall into a save.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks import machine

# A very thin ResNet: milliseconds a step, every part of the real thing.
SETTINGS = {
    "augment.size": "8",
    "model.encoder": "resnet18_w0p0625",
    "model.projector": "[64, 64]",
    "train.batch_size": "64",
    "train.epochs": "3",
    "optimizer.warmup_epochs": "1",
    "monitor.every_steps": "1",
    "monitor.knn_every_epochs": "2",
    "monitor.knn_bank": "64",
    "monitor.knn_queries": "32",
    "checkpoint.every_steps": "1",
    "checkpoint.keep": "3",
}
# Of the kills, this share may fall anywhere from the start of the process; the others fall after its first save.
_ANYWHERE = 0.2
_START_SECONDS = 12.0
_TRAINING_SECONDS = 0.7


def command(run: Path, settings: Mapping[str, str] = MappingProxyType(SETTINGS)) -> list[str]:
    """Returns the command line of a run with these settings."""
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "barlowtf", "pretrain", "--config", "digits", "--run-dir", str(run), *words]


def final_weights(run: Path) -> dict[str, np.ndarray]:
    """Returns every saved value of the run's last checkpoint."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(sorted((run / "checkpoints").glob("step-*"))[-1] / "state"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name[0] != "_"}


def kill_at_random(run: Path, r: np.random.Generator) -> dict[str, Any] | None:
    """Starts the run, kills it; returns when and where it was, None when it had finished before."""
    anywhere = r.random() < _ANYWHERE
    delay = r.uniform(0.0, _START_SECONDS if anywhere else _TRAINING_SECONDS)
    before, started = _newest(run), time.monotonic()
    process = subprocess.Popen(command(run), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not anywhere and _newest(run) == before and process.poll() is None:
        time.sleep(0.005)
    time.sleep(delay)
    process.kill()
    _, errors = process.communicate()
    if process.returncode == 0:
        return None
    if process.returncode != -9:
        raise RuntimeError(f"the run ended with status {process.returncode}: {errors[-2000:]}")
    return {
        "after_seconds": round(time.monotonic() - started, 2),
        "last_save": _newest(run),
        "during_a_save": any((run / "checkpoints").glob(".saving-*")),
        "resumed": "Resuming" in errors,
    }


def kill_and_compare(folder: Path, *, kills: int, seed: int) -> dict[str, Any]:
    """Kills runs until there were so many kills, finishes each run, and compares it with the unbroken one.

    Returns:
        Kills, rounds (a run that finished before it could be killed again begins anew), and for each finished run the
        number of values that differ.
    """
    r = np.random.default_rng(seed)
    unbroken = folder / "unbroken"
    subprocess.run(command(unbroken), check=True, capture_output=True)
    expected = final_weights(unbroken)
    happened: list[dict[str, Any]] = []
    differing: list[int] = []
    while len(happened) < kills:
        run = folder / f"killed-{len(differing)}"
        while len(happened) < kills:
            kill = kill_at_random(run, r)
            if kill is None:
                break
            happened.append({"round": len(differing), **kill})
        subprocess.run(command(run), check=True, capture_output=True)
        found = final_weights(run)
        differing.append(sum(int(np.sum(expected[name] != found[name])) for name in expected))
    return {
        "kills": len(happened),
        "kills_during_a_save": sum(kill["during_a_save"] for kill in happened),
        "kills_before_the_first_checkpoint": sum(kill["last_save"] == 0 for kill in happened),
        "kills_of_a_resumed_run": sum(kill["resumed"] for kill in happened),
        "runs": len(differing),
        "steps_a_run": _newest(unbroken),
        "values_compared_a_run": sum(value.size for value in expected.values()),
        "values_that_differ": differing,
        "log": happened,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = kill_and_compare(Path(folder), kills=arguments.kills, seed=arguments.seed)
    machine.write_result("kills", {"settings": SETTINGS, **result})
    sys.stderr.write(f"{ {key: value for key, value in result.items() if key != 'log'} }\n")
    if any(result["values_that_differ"]):
        raise SystemExit("a run that was killed ended in other weights")


def _newest(run: Path) -> int:
    """Returns the step of the run's last finished save, 0 where there is none."""
    return max((int(path.name[-8:]) for path in (run / "checkpoints").glob("step-*")), default=0)


if __name__ == "__main__":
    main()
