"""`barlowtf evaluate`, top to bottom: settings -> encoders -> measurements -> results -> table."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from rich.console import Console

from barlowtf import runs
from barlowtf.atomic import write_file
from barlowtf.config.protocols import PROTOCOLS, SupportVectors, find_all_settings, find_settings
from barlowtf.distribute import make_strategy
from barlowtf.encoders.encoder import Encoder
from barlowtf.encoders.loading import CONTROLS, load, require_control
from barlowtf.errors import ConfigError
from barlowtf.evaluation import results_table
from barlowtf.experiment.evaluating.recording import (
    Recorder,
    Request,
    Surroundings,
    features_folder,
    read_result,
    require_trainable,
)
from barlowtf.train.interruption import Interruption


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
    settings = find_all_settings(request.protocols, request.recipe, request.overrides)
    _require_lists_to_fit(request)
    with Interruption().listening() as interruption:
        trained = [spec for spec in request.encoders if spec not in CONTROLS]
        with chosen.scope():
            opened = {spec: load(spec, config=request.config) for spec in trained}
        like = opened[trained[0]] if trained else None
        # What cannot be measured is said now, not after hours of measuring the rest.
        for spec in set(request.encoders) & set(CONTROLS):
            require_control(spec, request.config, like)
        for encoder in opened.values():
            for protocol, (_, chosen_settings, _) in settings.items():
                require_trainable(encoder, protocol, chosen_settings)
        out = _folder(request, list(opened.values()))
        surroundings = Surroundings(request, {}, out, chosen, interruption, console)
        records = []
        with runs.locked(out):
            try:
                for encoder, seeds in _encoders(request, chosen, opened, like):
                    recorder = Recorder(encoder, surroundings)
                    for name in request.protocols:
                        records += [recorder.record(name, *settings[name], seed) for seed in _seeds(name, seeds)]
                shutil.rmtree(features_folder(out), ignore_errors=True)
            finally:
                found = read_results(out)
                if found:
                    write_file(out / "table.md", results_table(found) + "\n")
    return records, results_table(records), out


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Returns all results in a folder, sorted by file name.

    Raises:
        CheckpointError: A file is not JSON.
    """
    contents = [read_result(path) for path in sorted(folder.glob("*.json"))]
    return [content for content in contents if content.get("protocol") in PROTOCOLS]


def _require_lists_to_fit(request: Request) -> None:
    """Raises ConfigError for a list that would be passed over."""
    if request.subset_sha256 is not None and request.subset is None:
        raise ConfigError("--subset-sha256 is of a list, and there is none. Add --subset FILE.")
    without = [name for name in request.protocols if isinstance(find_settings(name, None, ())[1], SupportVectors)]
    if request.subset is not None and without:
        raise ConfigError(f"Protocol {without[0]} takes all labels. Received --subset {request.subset}. Leave it out.")


def _seeds(protocol: str, seeds: Sequence[int]) -> Sequence[int]:
    """Returns the seeds that can make a difference, for one encoder."""
    return seeds if PROTOCOLS[protocol].random else seeds[:1]


def _encoders(
    request: Request, strategy: tf.distribute.Strategy, opened: dict[str, Encoder], like: Encoder | None
) -> Iterator[tuple[Encoder, Sequence[int]]]:
    """Yields each encoder and the seeds for it; the untrained one is another for each seed."""
    for spec in request.encoders:
        if spec not in CONTROLS:
            yield opened[spec], request.seeds
            continue
        if spec == "pixels":
            yield load("pixels", config=request.config, like=like), request.seeds
            continue
        for seed in request.seeds:
            with strategy.scope():
                encoder = load("random", config=request.config, like=like, seed=seed)
            yield encoder, [seed]


def _folder(request: Request, encoders: list[Encoder]) -> Path:
    runs_of = [encoder.run for encoder in encoders if encoder.run is not None]
    out = request.out or (runs_of[0] / "results" if runs_of else Path("results"))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"Cannot make the folder of the results {out}: {error.strerror}. Choose another --out."
        ) from error
    if not os.access(out, os.W_OK):
        raise ConfigError(f"Cannot write in the folder of the results {out}. Choose another --out.")
    return out
