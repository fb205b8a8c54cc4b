"""One trial of recipe `digits` without its test scans: every fifth training scan is held out, and measured on instead.

The scans become a folder of images, train/ and test/ (1,149 and 288), and the ordinary commands do the rest. Adds the
trial to results/digits_trials.json. `pixels` are the images themselves, with the same labels: kNN with k = 20, and
logistic regression (scikit-learn, C = 1) on standardized pixels. 58 epochs are as many steps as the recipe's 45 on all.

Command: python -m benchmarks.digits_trials --set train.epochs=58 [--set KEY=VALUE]... [--protocol-set KEY=VALUE]...
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine

NAME = "digits_trials"
HELD_OUT_EVERY = 5
# Protocol -> share of the labels.
FRACTIONS = {"linear-fast": 1.0, "semi1": 0.01, "semi10": 0.1}


def main() -> None:
    """Runs the trial that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="setting of the recipe")
    parser.add_argument("--protocol-set", action="append", default=[], help="setting of a protocol")
    parser.add_argument("--seeds", default="0,1,2", help="seeds of heads and draws")
    parser.add_argument("--run-dir", type=Path, help="a finished trial to measure; default: train anew")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "scans"
        write_folder(folder)
        run = arguments.run_dir or Path(temporary) / "run"
        started = time.monotonic()
        _command("pretrain", "--config", "digits", "--data", folder, "--run-dir", run, *_sets(arguments.overrides))
        seconds = time.monotonic() - started
        protocols = [part for name in ("knn", "linear", "linear-fast", "semi1") for part in ("--protocol", name)]
        results = _command(
            "evaluate", *protocols, "--variant", "small", "--encoder", run, "--data", folder,
            "--seeds", arguments.seeds, "--out", Path(temporary) / "results", "--json", *_sets(arguments.protocol_set),
        )  # fmt: skip
    trial = {
        "recipe": arguments.overrides,
        "protocols": arguments.protocol_set,
        "pretrain_seconds": round(seconds, 1) if arguments.run_dir is None else None,
        "top1": _top1(json.loads(results)["results"]),
    }
    path = machine.RESULTS / f"{NAME}.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    content = {**content, "pixels": measure_pixels(*split(), seeds), "trials": [*content.get("trials", []), trial]}
    machine.write_result(NAME, content)


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns images and labels to learn from, and those held out; uint8 [M, 8, 8, 1] and int64 [M]."""
    from barlowtf.data.digits import digits_source

    source = digits_source("train")
    numbers = np.arange(source.size)
    images, labels = source.read(numbers).numpy(), source.labels_of(numbers)
    held = numbers % HELD_OUT_EVERY == 0
    return images[~held], labels[~held], images[held], labels[held]


def write_folder(folder: Path) -> None:
    """Writes both parts as train/ and test/ with a folder for each class."""
    from PIL import Image

    train, train_labels, held, held_labels = split()
    for name, images, labels in (("train", train, train_labels), ("test", held, held_labels)):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / name / str(label) / f"{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(path)


def measure_pixels(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, seeds: list[int]
) -> dict[str, list[float]]:
    """Returns top-1 of the images themselves, by protocol, one number for each seed that draws labels.

    Args:
        train: uint8 [M, 8, 8, 1].
        train_labels: int64 [M].
        test: uint8 [Q, 8, 8, 1].
        test_labels: int64 [Q].
        seeds: Of the draws.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from barlowtf.data import balanced_ids
    from barlowtf.metrics import knn_accuracy

    x, queries = (images.reshape(len(images), -1) / 255.0 for images in (train, test))
    found = {"knn": [knn_accuracy(x, train_labels, queries, test_labels, neighbors=20, class_count=10)]}
    for protocol, fraction in FRACTIONS.items():
        found[protocol] = []
        for seed in seeds if fraction < 1 else seeds[:1]:
            # A folder lists its scans class by class, as does this order: the draws are the same.
            order = np.argsort(train_labels, kind="stable")
            chosen = order[balanced_ids(train_labels[order], fraction, seed)]
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            found[protocol].append(model.fit(x[chosen], train_labels[chosen]).score(queries, test_labels))
    return {name: [round(value, 4) for value in values] for name, values in found.items()}


def _top1(records: list[dict[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for record in records:
        found.setdefault(record["protocol"], []).append(round(record["scores"]["top1"], 4))
    return found


def _sets(overrides: list[str]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def _command(*arguments: Any) -> str:
    command = [str(Path(sys.executable).with_name("barlowtf")), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
