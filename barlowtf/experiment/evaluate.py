"""`barlowtf evaluate`, top to bottom: request -> protocols -> encoders -> measurements -> results and their table."""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tensorflow as tf
from rich.console import Console

from barlowtf import data, runs
from barlowtf.atomic import write_file
from barlowtf.distribute import make_strategy
from barlowtf.encoders import Encoder, load
from barlowtf.encoders.loading import require_control
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.evaluation import (
    Chosen,
    choose_variants,
    fitting_variant,
    plan_judgement,
    results_table,
)
from barlowtf.experiment.measurements import Images, Measuring, fits
from barlowtf.experiment.skipping import skips_of
from barlowtf.places import CONTROLS, settled_spec
from barlowtf.records import Result, read_results
from barlowtf.train.error_console import error_console
from barlowtf.train.interruption import Interruption


@dataclass(frozen=True)
class EvaluateRequest:
    """What to measure, and where.

    Attributes:
        protocols: Names of `PROTOCOLS`, or a user's own, "file.py:name"; none: those that say within minutes whether an
            encoder is any good, beside both controls.
        encoders: See `barlowtf.encoders.load`.
        source: SPEC of the data.
        variant: Name of a variant of the protocols; None: the first of each, for small data "small" or "tiny".
        seeds: Seeds of heads, orders, draws, held-out images and untrained encoders, >= 0; None: 0, and where no
            protocol is named and few images are held out, one for each part.
        held_out: Share of the images to hold out as test images, for data without a test split; None: it has one, or no
            protocol is named: then a fifth.
        overrides: Settings, `KEY=VALUE` or `PROTOCOL.KEY=VALUE`.
        subset: List of training images; None: all, or the share of the protocol.
        subset_sha256: Expected sha256 of the list.
        config: Recipe of the encoders that have none beside them, and of the controls.
        out: Folder of the results; None: see `results_folder`.
        strategy: "one" or "mirrored".
        replicas: With "mirrored": number of replicas; None: all GPUs.
        trust: See `barlowtf.encoders.load`.
        max_unreadable: Maximum number of images to leave out because they cannot be read, >= 0; None: see `skips_of`.
        test_source: SPEC of other test images, for protocols that take them; None: those of `source`.
    """

    protocols: Sequence[str]
    encoders: Sequence[str]
    source: str
    variant: str | None = None
    seeds: tuple[int, ...] | None = None
    held_out: float | None = None
    overrides: Sequence[str] = ()
    subset: Path | None = None
    subset_sha256: str | None = None
    config: str | None = None
    out: Path | None = None
    strategy: str = "one"
    replicas: int | None = None
    trust: bool = False
    max_unreadable: int | None = None
    test_source: str | None = None


def evaluate(request: EvaluateRequest, *, console: Console | None = None) -> list[Result]:
    """Measures encoders by protocols and writes results and their table into a folder.

    A measurement that the folder already holds is not repeated; an interrupted one resumes.

    Args:
        request: What to measure.
        console: Where the progress bar is drawn; None: standard error.

    Returns:
        The results of the request, by encoder, protocol and seed.

    Raises:
        BarlowTFError: The request, the data, an encoder or a file in the folder does not allow it.
        Interrupted: A signal came. What was finished is saved, and the same call resumes.
    """
    strategy = make_strategy(request.strategy, request.replicas)
    request = _complete(request)
    chosen = choose_variants(
        request.protocols, request.variant, request.overrides, preferred=fitting_variant(request.source)
    )
    _require_options_to_fit(request, chosen)
    with Interruption().listening() as interruption:
        loaded = _load_encoders(request, strategy)
        # The pixels beside other encoders are only left out of a protocol that trains the encoder.
        alone = set(request.encoders) == {"pixels"}
        _require_measurable([encoder for spec, encoder in loaded.items() if alone or spec != "pixels"], chosen)
        folder = results_folder(request)
        _make_folder(folder)
        with runs.locked(folder):
            _require_results_alone(folder)
            images = Images(
                request.source, request.test_source, request.held_out, request.subset, request.subset_sha256
            )
            measuring = Measuring(
                images,
                folder,
                strategy,
                interruption,
                console or error_console(),
                skips_of(loaded.values(), request.max_unreadable, folder / data.SKIPPED_FILE),
            )
            results = []
            planned = [None if spec == "random" else loaded[spec] for spec in request.encoders]
            measuring.plan(request.encoders, planned, chosen, request.seeds or (0,))
            try:
                for encoder, seeds in _with_seeds(request, loaded, strategy):
                    results += measuring.measure_all(encoder, chosen, seeds)
                shutil.rmtree(folder / ".features", ignore_errors=True)
            finally:
                found, _ = read_results(folder)
                if found:
                    # An encoder of equal weights and another name has no file of its own.
                    write_file(folder / "table.md", results_table([*found, *results]) + "\n")
    return results


def _complete(request: EvaluateRequest) -> EvaluateRequest:
    """Returns the request with what fits the data where it names no protocol, and with seeds."""
    tested = None if request.test_source is None else settled_spec(request.test_source)
    request = replace(request, source=settled_spec(request.source), test_source=tested)
    if request.protocols:
        return replace(request, seeds=request.seeds or (0,))
    protocols, held_out, seeds = plan_judgement(request.source, request.held_out, request.seeds)
    encoders = (*request.encoders, *(control for control in CONTROLS if control not in request.encoders))
    return replace(request, protocols=protocols, encoders=encoders, seeds=seeds, held_out=held_out)


def results_folder(request: EvaluateRequest) -> Path:
    """Returns where the results of a request lie: its `out`, or `results` in the first run among the encoders."""
    if request.out is not None:
        return request.out
    for path in map(Path, request.encoders):
        run = path.parent if path.suffix == ".keras" else path
        if (run / "recipe.toml").exists():
            return run / "results"
    return Path("results")


def _require_options_to_fit(request: EvaluateRequest, chosen: Sequence[Chosen]) -> None:
    """Raises ConfigError for a list or for test images that would be ignored."""
    fixed = [choice.protocol.name for choice in chosen if not choice.protocol.takes_test_data]
    if request.test_source is not None and fixed:
        raise ConfigError(
            f"Invalid --eval-data {request.test_source}: protocol {fixed[0]} tests on the test images of --data. "
            "Leave it out."
        )
    if request.subset_sha256 is not None and request.subset is None:
        raise ConfigError("Invalid --subset-sha256: there is no list that it could belong to. Add --subset FILE.")
    without = [choice.protocol.name for choice in chosen if not choice.protocol.takes_list]
    if request.subset is not None and without:
        raise ConfigError(f"Invalid --subset {request.subset}: protocol {without[0]} uses all labels. Leave it out.")


def _load_encoders(request: EvaluateRequest, strategy: tf.distribute.Strategy) -> dict[str, Encoder]:
    """Returns the encoders by their SPEC, but the untrained ones, which differ from seed to seed."""
    with strategy.scope():
        loaded = {
            spec: load(spec, config=request.config, trust=request.trust)
            for spec in request.encoders
            if spec not in CONTROLS
        }
        like = next(iter(loaded.values()), None)
        if "pixels" in request.encoders:
            loaded["pixels"] = load("pixels", config=request.config, like=like)
    if "random" in request.encoders:
        require_control("random", request.config, like)
    return loaded


def _with_seeds(
    request: EvaluateRequest, loaded: dict[str, Encoder], strategy: tf.distribute.Strategy
) -> Iterator[tuple[Encoder, Sequence[int]]]:
    """Yields each encoder and the seeds for it; "random" is another encoder for each seed."""
    like = next((encoder for spec, encoder in loaded.items() if spec not in CONTROLS), None)
    given: Counter[str] = Counter()
    for spec in request.encoders:
        given[spec] += 1
        if spec != "random":
            twice = f"{spec} ({given[spec]})"
            yield loaded[spec] if given[spec] == 1 else replace(loaded[spec], name=twice), request.seeds or (0,)
            continue
        for seed in request.seeds or (0,):
            with strategy.scope():
                encoder = load("random", config=request.config, like=like, seed=seed, trust=request.trust)
            yield encoder, [seed]


def _require_measurable(encoders: Iterable[Encoder], chosen: Sequence[Chosen]) -> None:
    """Raises ConfigError where a protocol cannot measure an encoder, before anything is measured."""
    for encoder in encoders:
        for choice in chosen:
            if not fits(choice, encoder):
                raise ConfigError(
                    f"Protocol {choice.protocol.name} trains the encoder, and {encoder.name} (kind {encoder.kind}) "
                    "cannot be trained. Give a run folder or a .keras file."
                )
            choice.protocol.require(encoder)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"Cannot make the folder of the results {folder}: {error.strerror}. Choose another --out."
        ) from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"Cannot write in the folder of the results {folder}. Choose another --out.")


def _require_results_alone(folder: Path) -> None:
    """Raises CheckpointError where a file in the folder is not a result: a table without it would hide that."""
    _, faults = read_results(folder)
    if faults:
        more = f" {len(faults) - 1} more files are not results either." if len(faults) > 1 else ""
        raise CheckpointError(f"{faults[0]} Or move it: {folder} is for results alone.{more}")
