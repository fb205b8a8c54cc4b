"""Do the measures without labels rank encoders as kNN does, and is the advice to stop any good?

Twelve settings, good and bad ones, are trained for a few epochs on part of CIFAR-10 and on the cells of BCCD that
`benchmarks.cells` cuts out. After each epoch kNN accuracy, RankMe, LiDAR and alpha-ReQ of the features and the
effective rank of the embeddings are measured. Written are, for each data set: the rank correlation (Spearman) of each
measure with kNN, over the last epochs of all runs and over the epochs of each run; where `judge_run` would first have
said that more epochs gain little, by kNN and by each measure, with the kNN accuracy gained there against the end; and
the kNN accuracy of the epoch that each measure would have kept. One run each. Writes results/label_free.json.

Command: python -m benchmarks.label_free CIFAR10 CELLS [--quick], with folders of class folders, train and test split
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine

NAME = "label_free"
_LOG = logging.getLogger("barlowtf")
EPOCHS = 24
# Images of each class, training and test: enough for a curve, few enough for 24 runs in an hour.
CIFAR_IMAGES = {"train": 800, "test": 100}
BASE = (
    "model.encoder=resnet10_w0p5",
    "model.projector=[256,256]",
    "train.pairs=1",
    "train.batch_size=128",
    "optimizer.warmup_epochs=1",
    "checkpoint.every_minutes=60",
    "monitor.every_steps=200",
    "monitor.collapse_every_epochs=1",
    "monitor.knn_every_epochs=1",
    "monitor.knn_bank=2000",
    "monitor.knn_queries=1000",
)
_NO_COLOR = tuple(f"augment.view_{view}.{name}=0.0" for view in "ab" for name in ("jitter", "grayscale"))
# Name -> what differs from the base. Some are meant to be bad: a measure must tell.
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "base": (),
    "rate / 16": ("optimizer.learning_rate=0.0005",),
    "rate x 8": ("optimizer.learning_rate=0.064",),
    "lambda / 25": ("loss.lambd=0.0002",),
    "lambda x 20": ("loss.lambd=0.1",),
    "mild crops": ("augment.area=[0.6, 1.0]",),
    "hard crops": ("augment.area=[0.05, 0.4]",),
    "no color changes": _NO_COLOR,
    "views nearly equal": (*_NO_COLOR, "augment.area=[0.9, 1.0]", "augment.view_a.flip=0.0", "augment.view_b.flip=0.0"),
    "projector of 16": ("model.projector=[16]",),
    "three layers of 512": ("model.projector=[512,512,512]",),
    "batch 512": ("train.batch_size=512",),
}
# Larger is better; alpha is best at 1.
MEASURES: Mapping[str, Callable[[float], float]] = {
    "lidar": float,
    "rankme": float,
    "alpha": lambda value: -abs(value - 1.0),
    "effective_rank": float,
}


def main() -> None:
    """Runs all settings on both data sets and writes what they show."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cifar", type=Path, help="CIFAR-10 as class folders")
    parser.add_argument("cells", type=Path, help="the folder that benchmarks.cells has written")
    parser.add_argument("--quick", action="store_true", help="two settings, few images, nothing written")
    quick = parser.parse_args().quick
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = parser.parse_args()
    names = ("base", "views nearly equal") if quick else tuple(SETTINGS)
    epochs, started = 5 if quick else EPOCHS, time.monotonic()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        cifar = {split: count // 10 for split, count in CIFAR_IMAGES.items()} if quick else CIFAR_IMAGES
        sources = {"cifar10": (arguments.cifar, cifar), "cells": (arguments.cells, cifar if quick else None)}
        for data, (folder, counts) in sources.items():
            source = folder if counts is None else _part(folder, place / data, counts)
            runs = {name: _train(source, name, epochs, place / f"{data}-{name.replace('/', '')}") for name in names}
            found[data] = {"images_per_class": counts, **summarize(runs), "runs": runs}
    content = {"epochs": epochs, "minutes": round((time.monotonic() - started) / 60, 1), "base": BASE, **found}
    for data in sources:
        _LOG.info("%s %s", data, {key: value for key, value in found[data].items() if key != "runs"})
    if not quick:
        machine.write_result(NAME, content)


def _part(folder: Path, place: Path, counts: Mapping[str, int]) -> Path:
    """Returns a folder with the first images of each class of both splits, as links."""
    for split, count in counts.items():
        for kind in sorted(path for path in (folder / split).iterdir() if path.is_dir()):
            (place / split / kind.name).mkdir(parents=True)
            for image in sorted(kind.iterdir())[:count]:
                (place / split / kind.name / image.name).symlink_to(image.resolve())
    return place


def _train(source: Path, name: str, epochs: int, folder: Path) -> list[dict[str, Any]]:
    """Returns what was measured after each epoch of a run, that before the first step included."""
    from barlowtf import experiment
    from barlowtf.config import load_recipe
    from barlowtf.records import read_lines
    from barlowtf.runs import RunFolder

    given = (f"data.source={source}", f"train.epochs={epochs}", *BASE, *SETTINGS[name])
    # A setting that the variant changes is given twice: the last one counts.
    settings = {key: value for key, _, value in (setting.partition("=") for setting in given)}
    recipe = load_recipe("cifar10-cpu", [f"{key}={value}" for key, value in settings.items()])
    info = experiment.pretrain(experiment.PretrainRequest(recipe, folder))
    keys = ("knn_top1", *MEASURES, "dead_dimensions")
    curve = [
        {"epoch": record["step"] // info.steps.per_epoch, **{key: record[key] for key in keys if key in record}}
        for record in read_lines(RunFolder(folder).metrics)
        if "knn_top1" in record
    ]
    _LOG.info("%s: %s", name, curve[-1])
    return curve


def summarize(runs: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Returns correlations, the advice to stop and the kept epochs of the curves of all runs of a data set."""
    ends = [curve[-1] for curve in runs.values()]
    return {
        "correlation_over_runs": {key: _correlation(ends, key) for key in MEASURES},
        "correlation_over_epochs_median": {
            key: _median([_correlation(curve[1:], key) for curve in runs.values()]) for key in MEASURES
        },
        "knn_top1": {name: {"last": curve[-1]["knn_top1"], "best": _best(curve)} for name, curve in runs.items()},
        "stop": {key: _stops(runs, key) for key in ("knn_top1", "lidar", "rankme", "effective_rank")},
        "kept": {
            key: {name: _kept(curve, key)["knn_top1"] for name, curve in runs.items() if _kept(curve, key)}
            for key in MEASURES
        },
    }


def _correlation(points: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Returns Spearman's correlation of a measure with kNN; None where one of them does not vary."""
    from scipy.stats import spearmanr

    pairs = [(MEASURES[key](point[key]), point["knn_top1"]) for point in points if key in point]
    columns = list(zip(*pairs, strict=True))
    if len(pairs) < 3 or any(len(set(column)) < 2 for column in columns):
        return None
    return round(float(spearmanr(*columns).statistic), 3)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 3) if known else None


def _best(curve: Sequence[Mapping[str, Any]]) -> float:
    return max(point["knn_top1"] for point in curve[1:])


def _kept(curve: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    """Returns the epoch that `checkpoint.keep_best` would have kept, {} where the measure is missing."""
    measured = [dict(point) for point in curve[1:] if key in point]
    return max(measured, key=lambda point: MEASURES[key](point[key]), default={})


def _stops(runs: Mapping[str, list[dict[str, Any]]], key: str) -> dict[str, Any]:
    """Returns where each run would have stopped by a measure, and kNN there less kNN at the end."""
    from barlowtf.metrics import MEASURES as JUDGED
    from barlowtf.metrics import judge_run

    measure = next(measure for measure in JUDGED if measure.key == key)
    stops = {}
    for name, curve in runs.items():
        lines = [{"step": point["epoch"], **point} for point in curve]
        for end in range(1, len(lines) + 1):
            verdict = judge_run(lines[:end], steps_per_epoch=1, embedding_width=_width(name), measures=(measure,))
            if verdict.kind not in ("improving", "changing", "unclear"):
                lost = lines[end - 1]["knn_top1"] - lines[-1]["knn_top1"]
                stops[name] = {"epoch": end - 1, "kind": verdict.kind, "knn_gained": round(lost, 4)}
                break
        else:
            stops[name] = {"epoch": None, "kind": verdict.kind, "knn_gained": 0.0}
    return {"mean_knn_gained": round(statistics.mean(stop["knn_gained"] for stop in stops.values()), 4), **stops}


def _width(name: str) -> int:
    """Returns the width of the embeddings of a setting."""
    for setting in (*SETTINGS[name], *BASE):
        if setting.startswith("model.projector="):
            return int(setting.rpartition("[")[2].rstrip("]").split(",")[-1])
    raise ValueError(f"{name} names no projector.")


if __name__ == "__main__":
    main()
