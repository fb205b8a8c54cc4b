"""What a save, a signal and a second replica cost.

Three parts, two threads each, on CIFAR-10-shaped random images through recipe cifar10-cpu with a ResNet-18 of half
width at 32 pixels, batch 256, one pair of views, bfloat16:

1. saves: ten steps without a save, with one in the background and with one that the loop waits for take turns. A second
   size, ResNet-50 with projector 8192-8192-8192 under LARS, is saved without training.
2. replicas: one replica and two mirrored CPU replicas take turns on the same global batch.
3. signals: a real `barlowtf pretrain` is sent SIGTERM after its first recorded steps; from the signal to the exit.

Command: python -m benchmarks.scaling [--quick]
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine

THREADS = 2
STEPS = 10
# The network and the batch are fixed here, so that figures stay comparable when the recipe is tuned.
RECIPE = ["train.epochs=1000", "monitor.knn_every_epochs=none", "train.batch_size=256", "train.pairs=1"]
RECIPE += ["augment.size=32", "augment.test_size=none", "model.encoder=resnet18_w0p5", "model.stem=small"]


def random_images(folder: Path, count: int = 2048) -> str:
    """Writes a folder of PNG images of CIFAR-10's shape; returns it as --data takes it."""
    from PIL import Image

    r = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        Image.fromarray(r.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number:05}.png")
    return str(folder)


def seconds_a_step(step: Any, batches: Any, steps: int) -> float:
    """Returns seconds a step over some steps."""
    started = time.perf_counter()
    for _ in range(steps):
        logs = step(next(batches))
    float(logs["loss"])
    return (time.perf_counter() - started) / steps


def measure_saves(source: str, rounds: int) -> dict[str, Any]:
    """Returns seconds a step without, with a background and with a waiting save every ten steps; and two sizes."""
    import tensorflow as tf

    from barlowtf.config import load_recipe
    from barlowtf.encoders.building import build_model
    from barlowtf.experiment import training_data
    from barlowtf.models.checkpoint import save_state, training_state
    from barlowtf.train.loop import compile_step
    from barlowtf.train.saver import BackgroundSaver

    recipe = load_recipe("cifar10-cpu", [*RECIPE, f"data.source={json.dumps(source)}"])
    strategy = tf.distribute.get_strategy()
    images = training_data.open_training_data(recipe)
    model = build_model(recipe, 8)
    step = compile_step(model, strategy, xla=False)
    batches = training_data.make_batches(recipe, images, strategy, 0, 10**6)
    seconds: dict[str, list[float]] = {"none": [], "background": [], "waiting": []}
    with tempfile.TemporaryDirectory() as folder:
        saver, state = BackgroundSaver(Path(folder), model, keep=1), training_state(model)
        saver.start(0)
        saver.finish()
        seconds_a_step(step, batches, 3)
        for number, kind in itertools.product(range(1, rounds + 1), seconds):
            started = time.perf_counter()
            if kind == "background":
                saver.start(number)
            elif kind == "waiting":
                save_state(Path(folder), state, 1000 + number, keep=1)
            seconds_a_step(step, batches, STEPS)
            saver.finish()
            seconds[kind].append((time.perf_counter() - started) / STEPS)
            for path in Path(folder).glob("step-*"):
                shutil.rmtree(path)
    medians = {kind: statistics.median(values) for kind, values in seconds.items()}
    return {
        "seconds_a_step": medians,
        "seconds_a_save": {
            kind: round(STEPS * (medians[kind] - medians["none"]), 3) for kind in ("background", "waiting")
        },
        "raw": seconds,
        "sizes": [save_size(model, rounds), save_size(large_model(), rounds)],
    }


def large_model() -> Any:
    """Returns ResNet-50 with the authors' projector, compiled with LARS."""
    from barlowtf.models import BarlowTwins, make_encoder, make_projector
    from barlowtf.optim import LARS

    model = BarlowTwins(make_encoder("resnet50", image_shape=(224, 224, 3)), make_projector(2048))
    model.compile(optimizer=LARS(0.2), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def save_size(model: Any, rounds: int) -> dict[str, Any]:
    """Returns how long the loop stands still for a save in the background, and how long the whole save takes."""
    from barlowtf.train.saver import BackgroundSaver

    blocked, whole = [], []
    with tempfile.TemporaryDirectory() as folder:
        saver = BackgroundSaver(Path(folder), model, keep=1)
        for number in range(rounds + 1):
            started = time.perf_counter()
            saver.start(number)
            blocked.append(time.perf_counter() - started)
            saver.finish()
            whole.append(time.perf_counter() - started)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    # The first one traces the copy.
    return {
        "parameters": model.count_params(),
        "checkpoint_bytes": size,
        "loop_stands_still_seconds": machine.median(blocked[1:]),
        "save_seconds": machine.median(whole[1:]),
    }


def measure_replicas(source: str, rounds: int) -> dict[str, Any]:
    """Returns seconds a step of one replica and of two on the same cores and the same global batch."""
    import tensorflow as tf

    from barlowtf.config import load_recipe
    from barlowtf.distribute import make_strategy
    from barlowtf.encoders.building import build_model
    from barlowtf.experiment import training_data
    from barlowtf.train.loop import compile_step

    strategies = {"two": make_strategy("mirrored", 2), "one": tf.distribute.get_strategy()}
    result: dict[str, Any] = {}
    for precision in ("float32", "mixed_bfloat16"):
        settings = [*RECIPE, f"data.source={json.dumps(source)}", f"train.precision={precision}"]
        recipe = load_recipe("cifar10-cpu", settings)
        images = training_data.open_training_data(recipe)
        calls = {}
        for name, strategy in strategies.items():
            with strategy.scope():
                model = build_model(recipe, 8)
            step = compile_step(model, strategy, xla=False)
            batches = training_data.make_batches(recipe, images, strategy, 0, 10**6)
            seconds_a_step(step, batches, 2)
            calls[name] = (step, batches)
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, (step, batches) in calls.items():
                seconds[name].append(seconds_a_step(step, batches, 4))
        ratios = [two / one for two, one in zip(seconds["two"], seconds["one"], strict=True)]
        result[precision] = {
            "seconds_a_step": {name: machine.median(values) for name, values in seconds.items()},
            "two_over_one": machine.median(ratios),
            "raw": seconds,
        }
    return result


def measure_signals(source: str, rounds: int) -> dict[str, Any]:
    """Returns seconds from SIGTERM to the exit of a real run, beside its step and its save."""
    seconds, states = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            settings = [word for setting in (*RECIPE, "monitor.every_steps=1") for word in ("--set", setting)]
            process = subprocess.Popen(
                [sys.executable, "-m", "barlowtf_cli.start", "pretrain", "--config", "cifar10-cpu"]
                + ["--data", source, "--run-dir", str(run), *settings],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            metrics = run / "metrics.jsonl"
            while not metrics.exists() or metrics.read_text().count('"loss"') < 4:
                time.sleep(0.1)
            time.sleep(float(np.random.default_rng().uniform(0.0, 1.5)))
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            states.append(process.wait())
            seconds.append(time.monotonic() - started)
    return {"seconds_to_exit": machine.median(seconds), "exit_statuses": states, "raw": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of each: a look, not a figure")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    measures = {"saves": measure_saves, "replicas": measure_replicas}
    if options.child:
        machine.pin(THREADS)
        name, source, rounds = options.child
        sys.stdout.write(json.dumps(measures[name](source, int(rounds))) + "\n")
        return
    rounds = 1 if options.quick else 5
    with tempfile.TemporaryDirectory() as folder:
        source = random_images(Path(folder) / "images")
        result = {
            name: machine.run_child("benchmarks.scaling", "--child", name, source, str(rounds), threads=THREADS)
            for name in measures
        }
        result["signals"] = measure_signals(source, rounds)
    written = {"settings": {"recipe": "cifar10-cpu", "threads": THREADS, "rounds": rounds}, **result}
    sys.stderr.write(f"{machine.write_result('scaling-quick' if options.quick else 'scaling', written)}\n")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
