"""One measurement of `barlowtf evaluate` after the other: images opened once, features computed once, results named."""

import functools
import logging
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from rich.console import Console

from barlowtf import data
from barlowtf.distribute import describe_surroundings
from barlowtf.encoders import Encoder
from barlowtf.errors import DataError, Interrupted
from barlowtf.evaluation import Chosen, FeatureStore, Outcome, Protocol, Splits, Task, fitting_protocol
from barlowtf.evaluation.recording import make_result, name_result
from barlowtf.experiment.foretelling import foretell, foretell_features
from barlowtf.records import Result, read_result, write_result
from barlowtf.records.grouping import format_value
from barlowtf.train.fitting import fit
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")
# How often a measurement is made anew though all images can be read: files were changed meanwhile.
_TRIES = 3


class Images(NamedTuple):
    """On what to measure.

    Attributes:
        source: SPEC of the data.
        test_source: SPEC of the test images; None: those of `source`.
        held_out: Share of the images to hold out as test images; None: there are test images.
        subset: List of training images; None: all, or the share of the protocol.
        subset_sha256: Expected sha256 of the list.
    """

    source: str
    test_source: str | None
    held_out: float | None
    subset: Path | None
    subset_sha256: str | None


def fits(choice: Chosen, encoder: Encoder) -> bool:
    """Returns whether an encoder can be measured by a protocol: one that trains it needs weights."""
    return bool(encoder.model.weights) or not choice.protocol.trains_encoder(choice.settings)


class Measuring:
    """Makes the measurements of one request: opens images once, names results by what they are results of.

    Attributes:
        skipped: The images that are passed over.
    """

    def __init__(
        self,
        images: Images,
        folder: Path,
        strategy: tf.distribute.Strategy,
        interruption: Interruption,
        console: Console,
        skipped: data.SkippedImages,
    ) -> None:
        """Opens nothing yet.

        Args:
            images: On what to measure.
            folder: Of the results; it is there, and locked.
            strategy: Runs the training.
            interruption: Knows whether a signal has come.
            console: Where the progress bar is drawn.
            skipped: Receives the images that cannot be read.
        """
        self.skipped = skipped
        self._images, self._folder, self._strategy, self._interruption = images, folder, strategy, interruption
        self._fit = functools.partial(fit, strategy=strategy, interruption=interruption, console=console)
        self._splits: dict[Any, Splits] = {}
        self._surroundings = describe_surroundings(strategy)
        self._begun, self._planned = 0, 0

    def plan(
        self, specs: Sequence[str], encoders: Sequence[Encoder | None], chosen: Sequence[Chosen], seeds: Sequence[int]
    ) -> None:
        """Logs what is to be measured, and about how long it will take.

        Args:
            specs: SPEC of each encoder.
            encoders: The encoders; None: the untrained one, which is another for each seed.
            chosen: Protocols.
            seeds: For each.
        """
        for encoder in encoders:
            for choice in chosen:
                if encoder is None or fits(choice, encoder):
                    self._planned += len(seeds) if encoder is None else len(self._seeds_of(choice, seeds))
        foretell(self._planned, chosen, specs)
        trained = [encoder for encoder in encoders if encoder is not None and encoder.model.weights]
        on_features = [choice for choice in chosen if not choice.protocol.trains_encoder(choice.settings)]
        if trained and on_features:
            splits = self._open(on_features[0].protocol, trained[0])[1]
            foretell_features(trained[0], splits, len(trained) + sum(encoder is None for encoder in encoders))

    def _seeds_of(self, choice: Chosen, seeds: Sequence[int]) -> Sequence[int]:
        """Returns the seeds for which a protocol measures an encoder: one where another one changes nothing."""
        differs = choice.protocol.depends_on_seed or self._images.held_out is not None
        return seeds if differs else seeds[:1]

    def measure_all(self, encoder: Encoder, chosen: Sequence[Chosen], seeds: Sequence[int]) -> list[Result]:
        """Returns the results of one encoder by all protocols; its features are computed once."""
        features = FeatureStore(encoder, self._folder / ".features")
        results = []
        for choice in chosen:
            if fits(choice, encoder):
                # Of an untrained encoder nothing is known until now. What does not fit the last protocol is told before
                # the first one has trained for hours.
                choice.protocol.require(encoder)
                self._open(choice.protocol, encoder)
        for choice in chosen:
            if not fits(choice, encoder):
                _LOG.info("%s is left out of %s, which trains the encoder.", encoder.name, choice.protocol.name)
                continue
            for seed in self._seeds_of(choice, seeds):
                self._begun += 1
                results.append(self._measure_readable(choice, encoder, features, seed))
        return results

    def _measure_readable(self, choice: Chosen, encoder: Encoder, features: FeatureStore, seed: int) -> Result:
        """Measures; where an image cannot be read, once more without such images."""
        channels, tries = encoder.image_shape[2], 0
        key, splits = self._open(choice.protocol, encoder)
        while True:
            try:
                return self._measure(choice, encoder, features, splits, seed)
            except tf.errors.ResourceExhaustedError:
                raise
            except tf.errors.OpError as error:
                readable = splits.without_unreadable(channels, encoder.rendering, self.skipped)
                if (readable.train.size, readable.test.size) == (splits.train.size, splits.test.size):
                    tries += 1
                if tries == _TRIES:
                    raise DataError(
                        f"Cannot measure {encoder.name} on {self._images.source}, though all images can be read: "
                        f"{data.reason_of(error).rstrip('.')}. Check whether other programs change the files."
                    ) from error
                _LOG.info("Measuring again without what cannot be read.")
                splits = self._splits[key] = readable

    def _open(self, protocol: Protocol, encoder: Encoder) -> tuple[Any, Splits]:
        """Returns the images of a protocol, opened once, and what they are kept under."""
        channels, source = encoder.image_shape[2], self._images.source
        specs = (protocol.training_spec(source), self._images.test_source or source)
        key = (protocol.open_data, *specs, channels, encoder.rendering)
        if key not in self._splits:
            try:
                self._splits[key] = protocol.open_data(*specs, channels, encoder.rendering, self._images.held_out)
            except DataError as error:
                fitting = fitting_protocol(source, protocol.open_data)
                if fitting is None:
                    raise
                raise DataError(f"{error} For these images: --protocol {fitting}.") from error
        return key, self._splits[key]

    def _measure(self, choice: Chosen, encoder: Encoder, features: FeatureStore, splits: Splits, seed: int) -> Result:
        """Returns the result of one measurement, from the folder where it is there already."""
        protocol, variant, settings, _ = choice
        if splits.held_out is not None:
            features.expect_parts(splits.train)
            splits = splits.for_seed(seed)
        usable, subset = splits.choose(
            fraction=protocol.fraction,
            seed=seed,
            file=self._images.subset,
            sha256=self._images.subset_sha256,
        )
        replicas = self._strategy.num_replicas_in_sync
        name = name_result(choice, encoder, splits, subset, seed=seed, replicas=replicas)
        file = self._folder / f"{name}.json"
        if file.exists():
            _LOG.info("%s%s exists already.", self._place, file)
            # It may have been measured under another name, or have equal weights.
            return read_result(file).model_copy(update={"encoder": encoder.facts})
        labels = f"{usable.train.size:,}"
        told = f"{protocol.name} ({variant}), {encoder.name}, seed {seed}: {labels} labels."
        _LOG.info("%s%s", self._place, told)
        task = Task(
            encoder=encoder,
            features=features,
            splits=usable,
            settings=settings,
            seed=seed,
            folder=self._folder / name,
            unfinished=self._folder / f".{name}",
            fit=self._fit,
            strategy=self._strategy,
        )
        started = time.monotonic()
        outcome = self._outcome(protocol, task)
        result = make_result(
            choice,
            task,
            outcome,
            source=self._images.source,
            test_source=self._images.test_source,
            splits=splits,
            subset=subset,
            seconds=time.monotonic() - started,
            surroundings=self._surroundings,
        )
        write_result(file, result)
        _tell(result)
        shutil.rmtree(task.unfinished, ignore_errors=True)
        return result

    @property
    def _place(self) -> str:
        """Which of several measurements this one is, "2/6: "."""
        return f"{self._begun}/{self._planned}: " if self._planned > 1 else ""

    def _outcome(self, protocol: Protocol, task: Task[Any]) -> Outcome:
        weights = task.encoder.model.get_weights()
        try:
            outcome = protocol.measure(task)
        finally:
            # Fine-tuning changes the encoder.
            task.encoder.model.set_weights(weights)
        if outcome is None:
            number = self._interruption.received or signal.SIGTERM
            raise Interrupted(f"Stopped by {number.name} in {protocol.name}, saved. The same command resumes.", number)
        return outcome


def _tell(result: Result) -> None:
    """Logs the first score as soon as it is there."""
    measure = result.shown_measures[0]
    text = format_value(result.scores.get(measure.name), percent=measure.percent)
    unit = " %" if measure.percent else ""
    _LOG.info("%s, %s: %s %s%s", result.protocol, result.encoder.name, measure.title, text, unit)
