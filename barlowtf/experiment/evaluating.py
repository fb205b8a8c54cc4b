"""`barlowtf evaluate`, top to bottom: settings -> data -> encoders -> measurements -> results -> table."""

import functools
import json
import logging
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from rich.console import Console

from barlowtf import runs
from barlowtf.config.protocols import (
    PROTOCOLS,
    Logistic,
    Neighbors,
    Probe,
    Settings,
    SupportVectors,
    find_settings,
    split_overrides,
)
from barlowtf.distribute import make_strategy
from barlowtf.errors import ConfigError, Interrupted
from barlowtf.evaluation import Outcome, dump_result, identity, not_comparable, results_table
from barlowtf.experiment.encoders import OpenedEncoder, open_encoder
from barlowtf.experiment.labeled_data import Splits, choose_labels, open_splits, training_spec
from barlowtf.experiment.measuring import Task, Views, measure_logistic, measure_neighbors, measure_probe
from barlowtf.train import record
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")
_MEASURES: dict[type, Callable[[Task, Any], Outcome | None]] = {
    Probe: measure_probe,
    Logistic: measure_logistic,
    Neighbors: measure_neighbors,
}


@dataclass(frozen=True)
class Request:
    """What `barlowtf evaluate` was asked for.

    Attributes:
        protocols: Keys of `PROTOCOLS`.
        encoders: See `open_encoder`.
        source: SPEC of the data.
        recipe: Name of the protocols' recipe; None: each one's first.
        seeds: Of heads, orders, draws and untrained encoders.
        overrides: Settings, `KEY=VALUE` or `PROTOCOL.KEY=VALUE`.
        subset: List of training images; None: all, or for semi1 and semi10 a class-balanced draw.
        subset_sha256: What the list's bytes must have.
        config: Recipe of the encoders that have none beside them, and of "random".
        out: Folder of the results; None: `results` in the first run folder among the encoders.
    """

    protocols: Sequence[str]
    encoders: Sequence[str]
    source: str
    recipe: str | None = None
    seeds: Sequence[int] = (0,)
    overrides: Sequence[str] = ()
    subset: Path | None = None
    subset_sha256: str | None = None
    config: str | None = None
    out: Path | None = None


def evaluate(
    request: Request, *, strategy: str = "one", replicas: int | None = None, console: Console | None = None
) -> tuple[list[dict[str, Any]], str, Path]:
    """Measures encoders by protocols; measurements that the folder already holds are not repeated.

    Args:
        request: What to measure.
        strategy: "one" or "mirrored".
        replicas: With "mirrored": so many logical CPU devices.
        console: Where the progress bar is drawn; None: standard error.

    Returns:
        The records that were asked for (docs/formats.md), their table, and the folder that holds both.

    Raises:
        BarlowTFError: Input, or what is in the folder, does not allow it.
        Interrupted: A signal came. What was finished is saved, and the same call resumes.
    """
    chosen = make_strategy(strategy, replicas)
    console = console or Console(stderr=True)
    overrides = split_overrides(request.overrides, request.protocols)
    settings = {name: find_settings(name, request.recipe, overrides[name]) for name in request.protocols}
    with Interruption().listening() as interruption:
        with chosen.scope():
            trained = {spec: open_encoder(spec, config=request.config) for spec in request.encoders if spec != "random"}
        out = _folder(request, list(trained.values()))
        like = next((encoder for encoder in trained.values()), None)
        records, opened_data = [], {}
        for spec in request.encoders:
            if spec != "random":
                groups = [(trained[spec], request.seeds)]
            else:
                groups = [
                    (functools.partial(_open_random, chosen, request, like, seed), [seed]) for seed in request.seeds
                ]
            for encoder, seeds in groups:
                opened = encoder() if callable(encoder) else encoder
                measuring = _Measuring(request, opened, opened_data, out, chosen, interruption, console)
                for name in request.protocols:
                    records += [measuring.record(name, *settings[name], seed) for seed in _seeds(name, seeds)]
    table = results_table(records)
    runs.write_atomic(out / "table.md", results_table(read_results(out)) + "\n")
    return records, table, out


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Returns all results in a folder, sorted by file name."""
    files = sorted(path for path in folder.glob("*.json") if path.name.split("-")[0] != "")
    contents = (json.loads(path.read_text(encoding="utf-8")) for path in files)
    return [content for content in contents if isinstance(content, dict) and content.get("protocol") in PROTOCOLS]


def _seeds(protocol: str, seeds: Sequence[int]) -> Sequence[int]:
    """Returns the seeds that can make a difference, for one encoder."""
    return seeds if PROTOCOLS[protocol].random else seeds[:1]


def _open_random(
    strategy: tf.distribute.Strategy, request: Request, like: OpenedEncoder | None, seed: int
) -> OpenedEncoder:
    with strategy.scope():
        return open_encoder("random", config=request.config, like=like, seed=seed)


def _folder(request: Request, encoders: list[OpenedEncoder]) -> Path:
    runs_of = [encoder.run for encoder in encoders if encoder.run is not None]
    out = request.out or (runs_of[0] / "results" if runs_of else Path("results"))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"Cannot make the folder of the results {out}: {error.strerror}. Choose another --out."
        ) from error
    return out


class _Measuring:
    """Measures one encoder; features and images are read once."""

    def __init__(
        self,
        request: Request,
        encoder: OpenedEncoder,
        opened: dict[tuple[str, int], Splits],
        out: Path,
        strategy: tf.distribute.Strategy,
        interruption: Interruption,
        console: Console,
    ) -> None:
        self.request, self.encoder, self.out = request, encoder, out
        self.strategy, self.interruption, self.console = strategy, interruption, console
        self.views = Views(encoder)
        self._start = encoder.model.get_weights()
        self._opened = opened
        self._surroundings = record.describe_surroundings(strategy)

    def open(self, protocol: str) -> Splits:
        """Returns the images of a protocol, opened once for all encoders."""
        channels = self.encoder.image_shape[2]
        key = (training_spec(self.request.source, protocol), channels)
        if key not in self._opened:
            self._opened[key] = open_splits(self.request.source, protocol, channels)
        return self._opened[key]

    def record(self, protocol: str, recipe: str, settings: Settings, changes: list[str], seed: int) -> dict[str, Any]:
        """Returns the record of one measurement, from the folder where it is there already."""
        if isinstance(settings, SupportVectors):
            raise ConfigError("voc07 is not wired.")
        fine_tuned = isinstance(settings, Probe) and settings.encoder_learning_rate > 0
        if fine_tuned and not self._start:
            raise ConfigError(
                f"Protocol {protocol} trains the encoder, and {self.encoder.name} is a {self.encoder.kind}: it cannot be "
                "trained. Give the run folder or the .keras file."
            )
        splits = self.open(protocol)
        train, subset = choose_labels(
            splits, protocol, seed, file=self.request.subset, sha256=self.request.subset_sha256
        )
        facts = {
            "protocol": protocol,
            "recipe": recipe,
            "settings": settings.model_dump(mode="json"),
            "encoder": self.encoder.sha256,
            "data": splits.fingerprints,
            "subset": None if subset is None else subset["sha256"],
            "seed": seed,
            "replicas": self.strategy.num_replicas_in_sync,
        }
        name = f"{protocol}-{recipe}-{self.encoder.label}-seed{seed}-{identity(facts)}"
        file = self.out / f"{name}.json"
        if file.exists():
            _LOG.info("%s is there already.", file)
            return dict(json.loads(file.read_text(encoding="utf-8")))
        _LOG.info("%s (%s), %s, seed %d: %d labels.", protocol, recipe, self.encoder.name, seed, train.size)
        started = time.monotonic()
        result = self.out / name
        task = Task(
            self.views,
            train,
            splits.test,
            splits.class_count,
            seed,
            result,
            self.strategy,
            self.interruption,
            self.console,
        )
        try:
            outcome = _MEASURES[type(settings)](task, settings)
        finally:
            if fine_tuned:
                self.encoder.model.set_weights(self._start)
        if outcome is None:
            number = self.interruption.received or signal.SIGTERM
            raise Interrupted(f"Stopped by {number.name} in {protocol}, saved. The same command resumes.", number)
        content = {
            "protocol": protocol,
            "recipe": recipe,
            "settings": settings.model_dump(mode="json"),
            "changed_settings": changes,
            "encoder": {
                "name": self.encoder.name,
                "kind": self.encoder.kind,
                "label": self.encoder.label,
                "sha256": self.encoder.sha256,
                "image_shape": list(self.encoder.image_shape),
                "feature_width": self.encoder.width,
            },
            "data": {
                "source": self.request.source,
                "train_images": splits.train.size,
                "test_images": splits.test.size,
                "classes": splits.class_count,
                "class_names": None if splits.class_names is None else list(splits.class_names),
                "fingerprints": splits.fingerprints,
            },
            "labels": train.size,
            "subset": subset,
            "seed": seed,
            "scores": outcome.scores,
            "details": outcome.details,
            "published": dict(PROTOCOLS[protocol].published) or None,
            "not_comparable": not_comparable(
                protocol,
                source=self.request.source,
                recipe=recipe,
                changes=changes,
                feature_width=self.encoder.width,
                size=self.encoder.image_shape[0],
            ),
            "head": f"{name}/head.keras" if (result / "head.keras").exists() else None,
            "seconds": round(time.monotonic() - started, 1),
            **self._surroundings,
            "per_class": outcome.per_class,
            "confusion_matrix": outcome.confusion,
        }
        runs.write_atomic(file, dump_result(content))
        shutil.rmtree(result.with_name(f".{name}"), ignore_errors=True)
        return content
