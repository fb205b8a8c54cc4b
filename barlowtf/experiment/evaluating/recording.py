"""Results on disk: each measurement is named by what it is a measurement of, made once, and written whole."""

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

from barlowtf.atomic import write_file
from barlowtf.config.protocols import PROTOCOLS, Logistic, Neighbors, Probe, Settings, SupportVectors
from barlowtf.distribute import describe_surroundings
from barlowtf.encoders.encoder import Encoder
from barlowtf.errors import CheckpointError, ConfigError, Interrupted
from barlowtf.evaluation import Outcome, dump_result, identity, not_comparable
from barlowtf.experiment.evaluating.labeled_data import (
    Splits,
    choose_labels,
    open_splits,
    training_spec,
    without_unreadable,
)
from barlowtf.experiment.evaluating.measuring import (
    Task,
    Views,
    measure_logistic,
    measure_neighbors,
    measure_probe,
    measure_voc,
)
from barlowtf.experiment.evaluating.multi_label import MultiLabelSplits, open_multi_label_splits, require_readable
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
        encoders: See `load`.
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


@dataclass(frozen=True)
class Surroundings:
    """What all measurements of a request share.

    Attributes:
        request: What was asked for.
        data: Images that are open already.
        out: Folder of the results.
        strategy: Runs the training.
        interruption: Listens to signals.
        console: For the progress bar.
    """

    request: Request
    data: dict[tuple[str, int], Splits | MultiLabelSplits]
    out: Path
    strategy: tf.distribute.Strategy
    interruption: Interruption
    console: Console


@dataclass(frozen=True)
class _Job:
    """A measurement that is ready to be made.

    Attributes:
        splits: Its images.
        labels: How many labels it may use.
        subset: How those were chosen; None: all of them.
        measure: Given the folder for its files, makes it; None where a signal came first.
    """

    splits: Splits | MultiLabelSplits
    labels: int
    subset: dict[str, Any] | None
    measure: Callable[[Path], Outcome | None]


class Recorder:
    """Measures one encoder; its features are computed once."""

    def __init__(self, encoder: Encoder, surroundings: Surroundings) -> None:
        """Keeps the weights that every measurement begins with."""
        self._encoder, self._surroundings = encoder, surroundings
        self._views = Views(encoder, features_folder(surroundings.out))
        self._start = encoder.model.get_weights()
        self._facts = describe_surroundings(surroundings.strategy).model_dump(mode="json")

    def record(self, protocol: str, recipe: str, settings: Settings, changes: list[str], seed: int) -> dict[str, Any]:
        """Returns the record of one measurement, from the folder where it is there already.

        Images that cannot be read are looked for when one is in the way, and left out.

        Raises:
            BarlowTFError: Data, labels or encoder do not allow it.
            Interrupted: A signal came.
        """
        try:
            return self._record(protocol, recipe, settings, changes, seed)
        except tf.errors.OpError as error:
            if isinstance(settings, SupportVectors):
                require_readable(self._surroundings.data[self._voc_key])
                raise
            key = self._key(protocol)
            before = self._surroundings.data.get(key)
            if not isinstance(before, Splits):
                raise
            after = without_unreadable(before, key[1])
            if (after.train.size, after.test.size) == (before.train.size, before.test.size):
                raise
            _LOG.info("Measuring again without them: %s.", error.message.partition("\n")[0][:100])
            self._surroundings.data[key] = after
        return self._record(protocol, recipe, settings, changes, seed)

    @property
    def _voc_key(self) -> tuple[str, int]:
        return f"multi-label {self._surroundings.request.source}", 0

    def _key(self, protocol: str) -> tuple[str, int]:
        """Returns what the images of a protocol are kept under."""
        return training_spec(self._surroundings.request.source, protocol), self._encoder.image_shape[2]

    def _record(self, protocol: str, recipe: str, settings: Settings, changes: list[str], seed: int) -> dict[str, Any]:
        job = self._prepare(protocol, settings, seed)
        identified = {
            "protocol": protocol,
            "recipe": recipe,
            "settings": settings.model_dump(mode="json"),
            "encoder": self._encoder.identity,
            "data": job.splits.fingerprints,
            # Without images that cannot be read it is another measurement, with an order of its own.
            "images": [job.splits.train.size, job.splits.test.size],
            "subset": None if job.subset is None else job.subset["sha256"],
            "seed": seed,
            "replicas": self._surroundings.strategy.num_replicas_in_sync,
        }
        name = f"{protocol}-{recipe}-{self._encoder.label}-seed{seed}-{identity(identified)}"
        file = self._surroundings.out / f"{name}.json"
        if file.exists():
            _LOG.info("%s is there already.", file)
            return read_result(file)
        _LOG.info("%s (%s), %s, seed %d: %s labels.", protocol, recipe, self._encoder.name, seed, f"{job.labels:,}")
        started = time.monotonic()
        folder = file.with_suffix("")
        outcome = self._measure(job, folder, protocol)
        described = self._describe(job)
        content = {
            "protocol": protocol,
            "variant": recipe,
            "settings": settings.model_dump(mode="json"),
            "changed_settings": changes,
            **described,
            "seed": seed,
            "scores": outcome.scores,
            "details": outcome.details,
            "published": dict(PROTOCOLS[protocol].published) or None,
            "not_comparable": not_comparable(
                protocol,
                source=self._surroundings.request.source,
                recipe=recipe,
                changes=changes,
                encoder=described["encoder"],
                test_images=job.splits.test.size,
                subset=job.subset,
            ),
            "head": f"{name}/head.keras" if (folder / "head.keras").exists() else None,
            "seconds": round(time.monotonic() - started, 1),
            **self._facts,
            "per_class": outcome.per_class,
            "confusion_matrix": outcome.confusion,
        }
        write_file(file, dump_result(content))
        shutil.rmtree(unfinished(folder), ignore_errors=True)
        return content

    def _measure(self, job: _Job, folder: Path, protocol: str) -> Outcome:
        try:
            outcome = job.measure(folder)
        finally:
            # Fine-tuning has changed the encoder.
            self._encoder.model.set_weights(self._start)
        if outcome is None:
            number = self._surroundings.interruption.received or signal.SIGTERM
            raise Interrupted(f"Stopped by {number.name} in {protocol}, saved. The same command resumes.", number)
        return outcome

    def _prepare(self, protocol: str, settings: Settings, seed: int) -> _Job:
        request, around = self._surroundings.request, self._surroundings
        if isinstance(settings, SupportVectors):
            splits = self._open(self._voc_key, lambda: open_multi_label_splits(request.source))

            def measure_machines(folder: Path) -> Outcome:
                return measure_voc(self._views, splits, settings, seed, unfinished(folder))

            return _Job(splits, splits.train.source.size, None, measure_machines)
        key = self._key(protocol)
        splits = self._open(key, lambda: open_splits(request.source, protocol, key[1]))
        train, subset = choose_labels(splits, protocol, seed, file=request.subset, sha256=request.subset_sha256)

        def measure(folder: Path) -> Outcome | None:
            task = Task(
                views=self._views,
                train=train,
                test=splits.test,
                class_count=splits.class_count,
                seed=seed,
                result=folder,
                work=unfinished(folder),
                strategy=around.strategy,
                interruption=around.interruption,
                console=around.console,
            )
            return _MEASURES[type(settings)](task, settings)

        return _Job(splits, train.size, subset, measure)

    def _open(self, key: tuple[str, int], opening: Callable[[], Any]) -> Any:
        """Returns images that are opened once for all encoders."""
        if key not in self._surroundings.data:
            self._surroundings.data[key] = opening()
        return self._surroundings.data[key]

    def _describe(self, job: _Job) -> dict[str, Any]:
        encoder, splits = self._encoder, job.splits
        return {
            "encoder": {
                "name": encoder.name,
                "kind": encoder.kind,
                "label": encoder.label,
                **encoder.identity,
                "feature_width": encoder.width,
                "parameters": encoder.model.count_params() if encoder.model.weights else None,
            },
            "data": {
                "source": self._surroundings.request.source,
                "train_images": splits.train.size,
                "test_images": splits.test.size,
                "classes": splits.class_count,
                "class_names": None if splits.class_names is None else list(splits.class_names),
                "fingerprints": splits.fingerprints,
            },
            "labels": job.labels,
            "subset": job.subset,
        }


def require_trainable(encoder: Encoder, protocol: str, settings: Settings) -> None:
    """Raises ConfigError where a protocol trains the encoder and it cannot be trained."""
    if isinstance(settings, Probe) and settings.encoder_learning_rate > 0 and not encoder.model.weights:
        raise ConfigError(
            f"Protocol {protocol} trains the encoder, and a {encoder.kind} ({encoder.name}) cannot be trained. "
            "Give the run folder or the .keras file."
        )


def features_folder(out: Path) -> Path:
    """Returns where features lie until all that was asked for is measured."""
    return out / ".features"


def unfinished(folder: Path) -> Path:
    """Returns where a measurement keeps what it needs to go on, until its result is written."""
    return folder.with_name(f".{folder.name}")


def read_result(file: Path) -> dict[str, Any]:
    """Returns the record in a file.

    Raises:
        CheckpointError: It is no record.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} is no result: {error}. Restore or delete it.") from error
    return content if isinstance(content, dict) else {}
