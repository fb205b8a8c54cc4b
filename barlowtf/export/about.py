"""What an export says of itself: where it comes from, what was measured, and how it answers to unknown images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import TypeVar

import numpy as np

from barlowtf import runs
from barlowtf.config import Recipe, Section, dump_recipe, load_recipe
from barlowtf.export.network import Parts, trainable_network
from barlowtf.export.origins import Origin
from barlowtf.places import short_spec
from barlowtf.printable import printable
from barlowtf.records import EncoderFacts, HeadFacts, Result, RunInfo, read_results
from barlowtf.records.grouping import format_value

_PACKAGES = ("barlowtf", "tensorflow", "keras")
_HASH_DIGITS = 12
_NOISE_IMAGES = 16
_Section = TypeVar("_Section", bound=Section)


@dataclass(frozen=True)
class About:
    """What is known of an export's origin; what is not known is left out.

    Attributes:
        date: Day of the export, UTC, "2026-11-27".
        versions: Package -> version.
        architecture: Name of the encoder.
        encoder: The encoder.
        head: The classifier.
        run: Name of the run.
        info: What run.json says of it.
        recipe: Its recipe.
        step: Step of the checkpoint; None: the finished encoder.
        results: What the run's evaluations measured of this very encoder.
        confidences: Kind of images -> median of the largest probability, in [0, 1]; {} without classifier.
    """

    date: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    architecture: str = ""
    encoder: EncoderFacts | None = None
    head: HeadFacts | None = None
    run: str | None = None
    info: RunInfo | None = None
    recipe: Recipe | None = None
    step: int | None = None
    results: tuple[Result, ...] = ()
    confidences: Mapping[str, float] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, str]:
        """What a file may carry in its metadata: producer and hashes."""
        facts = {"producer": f"barlowtf {metadata.version('barlowtf')}"}
        if self.encoder is not None:
            facts["encoder_sha256"] = self.encoder.sha256
        if self.head is not None:
            facts |= {"head_sha256": self.head.sha256, "head_protocol": self.head.protocol}
        return facts

    @property
    def origin(self) -> dict[str, str]:
        """Where it comes from, name -> one line."""
        return {name: printable(value, keep="") for name, value in _origin(self)}

    @property
    def measures(self) -> list[tuple[str, ...]]:
        """What was measured of this encoder: protocol, data, labels, test images, measure and value of each."""
        rows = [
            (
                f"{result.protocol} ({result.variant}), seed {result.seed}",
                short_spec(result.data.source),
                f"{result.labels:,}",
                f"{result.data.test_images:,}",
                measure.title,
                format_value(result.scores[measure.name], percent=measure.percent) + (" %" if measure.percent else ""),
            )
            for result in self.results
            for measure in result.shown_measures
            if measure.name in result.scores
        ]
        return [tuple(printable(text, keep="") for text in row) for row in rows]


def describe_origin(origin: Origin, probabilities: np.ndarray | None) -> About:
    """Returns what is known of what is exported.

    Args:
        origin: What is exported.
        probabilities: Those of the head for the images that the export is compared on, [M, K]; None: no head.
    """
    run = None if origin.encoder.run is None else runs.RunFolder(origin.encoder.run)
    results = () if run is None else read_results(run.path / "results")[0]
    facts = origin.encoder.facts
    known = {} if probabilities is None else {"images of the data": float(np.median(probabilities.max(axis=1)))}
    return About(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        versions={name: metadata.version(name) for name in _PACKAGES},
        architecture=origin.encoder.model.name,
        encoder=facts,
        head=None if origin.head is None else origin.head.facts,
        run=None if run is None else run.path.resolve().name,
        info=None if run is None else run.read_info(),
        recipe=None if run is None else load_recipe(run.recipe),
        step=origin.step,
        results=tuple(result for result in results if result.encoder.sha256 == facts.sha256),
        confidences=known | confidences_of_unknown(origin.parts),
    )


def confidences_of_unknown(parts: Parts) -> dict[str, float]:
    """Returns the median of the largest probability for images that belong to no class, kind -> value in [0, 1].

    A softmax shares out 1 between the classes that it knows, whatever it is shown; these figures tell how far.

    Args:
        parts: What is exported; {} without head.
    """
    if parts.head is None:
        return {}
    shape = (parts.size, parts.size, parts.channels)
    noise = np.random.default_rng(0).random((_NOISE_IMAGES, *shape), np.float32)
    kinds = {
        "noise": noise,
        "black": np.zeros((1, *shape), np.float32),
        "white": np.ones((1, *shape), np.float32),
        "gray": np.full((1, *shape), 0.5, np.float32),
    }
    network = trainable_network(parts)
    largest = {kind: network.predict_on_batch(images)["probabilities"].max(axis=1) for kind, images in kinds.items()}
    return {kind: float(np.median(values)) for kind, values in largest.items()}


def _origin(about: About) -> Iterator[tuple[str, str]]:
    if about.date:
        versions = ", ".join(f"{name} {version}" for name, version in about.versions.items())
        yield "exported", f"{about.date}, {versions}"
    if about.encoder is not None:
        count = about.encoder.parameters
        size = "" if count is None else f", {count:,} parameters"
        height, width, channels = about.encoder.image_shape
        views = f"{height} x {width} x {channels}"
        yield "encoder", f"{about.architecture}{size}, views {views}, weights sha256 {_short(about.encoder.sha256)}"
    if about.run is not None:
        yield "run", about.run + ("" if about.step is None else f", checkpoint of step {about.step:,}")
    if about.info is not None:
        data = about.info.data
        yield "images", f"{short_spec(data.source)}: {data.images:,}, fingerprint {_short(data.fingerprint)}"
    if about.recipe is not None:
        train = about.recipe.train
        yield (
            "training",
            f"loss {short_spec(about.recipe.loss.name)}, epochs {train.epochs}, batch size {train.batch_size}, "
            f"seed {train.seed}",
        )
    if about.head is not None:
        head = about.head
        yield (
            "classifier",
            f"protocol {head.protocol} ({head.variant}), {head.labels:,} labels, seed {head.seed}, weights sha256 "
            f"{_short(head.sha256)}",
        )


def _short(sha256: str) -> str:
    return sha256[:_HASH_DIGITS]


def publishable_recipe(recipe: Recipe) -> str:
    """Returns a recipe as TOML without the folders of the machine that it ran on."""
    return dump_recipe(_without_folders(recipe))


def _without_folders(section: _Section) -> _Section:
    values = {name: getattr(section, name) for name in type(section).model_fields}
    parts = {name: _without_folders(value) for name, value in values.items() if isinstance(value, Section)}
    texts = {name: short_spec(value) for name, value in values.items() if isinstance(value, str)}
    return section.model_copy(update=parts | texts)
