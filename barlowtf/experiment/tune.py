"""`barlowtf tune`: settings are tried by successive halving, and the best trial becomes a recipe."""

import logging
import queue
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barlowtf import choosing, runs
from barlowtf.atomic import write_file
from barlowtf.config import Recipe, dump_recipe, load_recipe
from barlowtf.config.durations import format_time, parse_budget
from barlowtf.config.search_space import Choices, Space, default_space, parse_space
from barlowtf.distribute import describe_surroundings, make_strategy
from barlowtf.encoders.building import check_encoder, settle_loss
from barlowtf.errors import ConfigError, Interrupted
from barlowtf.experiment.ablation_results import last_line
from barlowtf.experiment.run_lock import wait_until_free
from barlowtf.experiment.settling import settled
from barlowtf.experiment.training_data import open_labeled, open_training_data
from barlowtf.experiment.trial import RunningTrial
from barlowtf.experiment.tuning_study import TuningStudy
from barlowtf.launching import share_of_machine, signals_as_events
from barlowtf.records import TuneRecord, write_record
from barlowtf.train.best import CRITERIA

_LOG = logging.getLogger("barlowtf")
# A third of the trials goes on at each of the rungs: after a ninth and after a third of the epochs.
REDUCTION, _RUNGS = 3, 2
_LOOK_SECONDS = 0.5
RESULTS_FILE, RECIPE_FILE = "results.json", "best.toml"
_LABELED = ("knn", "probe")


@dataclass(frozen=True)
class TuneRequest:
    """What to search for, and how long.

    Attributes:
        base: Name or file of the recipe around which settings are tried.
        out: Folder of the study, the trials and the results; processes on several machines that share it work on one
            study.
        overrides: Changes to the recipe, `section.key=value`.
        search: `KEY=LOW:HIGH`, `KEY=LOW:HIGH:log`, `KEY=VALUE|VALUE`; none: see `default_space`.
        measure: What the score is made of: knn, probe, rankme, lidar or alpha.
        trials: Number of trials of the study.
        budget: Time after which no other trial starts; None: no such time.
        jobs: Trials at a time, >= 1; None: one for each GPU, without GPUs one.
        seed: Of the search, >= 0.
        storage: URL of a database that holds the study, as Optuna takes it; None: a journal in `out`.
    """

    base: str
    out: Path
    overrides: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    measure: str = "knn"
    trials: int = 27
    budget: str | None = None
    jobs: int | None = None
    seed: int = 0
    storage: str | None = None


def tune(request: TuneRequest) -> TuneRecord:
    """Tries settings until there are as many trials as requested; the same call goes on after any end.

    Raises:
        BarlowTFError: Recipe, images, search or folder do not allow it, or Optuna is not installed.
        Interrupted: A signal came. Trials that were under way are saved.
    """
    recipe = _trial_recipe(request)
    space = parse_space(request.search, recipe) if request.search else default_space(recipe)
    machine = choosing.describe_machine()
    jobs = request.jobs or max(machine.gpus, 1)
    every = recipe.monitor.knn_every_epochs or recipe.monitor.collapse_every_epochs or 1
    _require_new(request.out)
    request.out.mkdir(parents=True, exist_ok=True)
    study = TuningStudy(
        request.out,
        space,
        rungs=[rung for rung in (every * REDUCTION**n for n in range(_RUNGS)) if rung < recipe.train.epochs],
        reduction=REDUCTION,
        seed=request.seed,
        storage=request.storage,
        identity={"recipe": dump_recipe(recipe), "measure": request.measure, "space": repr(space)},
    )
    for number in study.take_back_lost():
        wait_until_free(_folder(request.out, number))
        _LOG.info("Trial %d goes on: the process that had begun it is gone.", number)
    received = _search(request, recipe, study, jobs, machine.gpus)
    record = _write(request, recipe, space, study)
    if received is not None:
        raise Interrupted(f"Stopped by {received.name}, saved. The same command goes on.", received)
    return record


def _trial_recipe(request: TuneRequest) -> Recipe:
    """Returns the base recipe with monitors that the search needs; it never looks at test images."""
    recipe = load_recipe(request.base, request.overrides)
    every = max(recipe.train.epochs // REDUCTION**_RUNGS, 1)
    settings = ["monitor.split=train", "monitor.collapse_every_epochs=none", "monitor.knn_every_epochs=none"]
    key = "knn_every_epochs" if request.measure in _LABELED else "collapse_every_epochs"
    settings += [f"monitor.{key}={every}", "checkpoint.keep_best=none"]
    settings += ["monitor.probe=true"] if request.measure == "probe" else []
    recipe = settle_loss(settled(load_recipe(request.base, [*request.overrides, *settings])))
    check_encoder(recipe)
    source = open_training_data(recipe)
    if request.measure in _LABELED and open_labeled(recipe, source) is None:
        raise ConfigError(
            f"Invalid --score: received {request.measure}, but {recipe.data.source} has no labels of two classes. "
            "Expected rankme, lidar or alpha, or labeled images: --set monitor.labels=SPEC."
        )
    return recipe


def _require_new(folder: Path) -> None:
    """Raises ConfigError where a folder holds anything else than a study."""
    own = folder / TuningStudy.IDENTITY
    if folder.exists() and (not folder.is_dir() or (not own.is_file() and any(folder.iterdir()))):
        raise ConfigError(
            f"Invalid --out: {folder} is there and holds no study. Expected a new folder, or that of a study."
        )


def _search(request: TuneRequest, recipe: Recipe, study: TuningStudy, jobs: int, gpus: int) -> signal.Signals | None:
    """Runs trials until there are enough; returns the signal that stopped them."""
    events: queue.SimpleQueue[signal.Signals] = queue.SimpleQueue()
    environment = share_of_machine(jobs, gpus)
    running: dict[int, RunningTrial] = {}
    received: signal.Signals | None = None
    until = None if request.budget is None else time.monotonic() + parse_budget(request.budget)
    with signals_as_events(events.put):
        try:
            while True:
                late = until is not None and time.monotonic() > until
                while received is None and not late and len(running) < jobs and study.wants_more(request.trials):
                    slot = next(slot for slot in range(jobs) if slot not in running)
                    running[slot] = _start(request, recipe, study, environment(slot))
                if not running:
                    return received
                try:
                    number = events.get(timeout=_LOOK_SECONDS)
                    received = received or number
                    for trial in running.values():
                        trial.stop(number)
                except queue.Empty:
                    pass
                for slot in [slot for slot, trial in running.items() if _look_at(trial, study, received, request)]:
                    del running[slot]
        finally:
            for trial in running.values():
                trial.stop(signal.SIGTERM)
                trial.process.wait()
                trial.poll()


def _start(request: TuneRequest, recipe: Recipe, study: TuningStudy, environment: Mapping[str, str]) -> RunningTrial:
    """Asks for settings and starts their run, or the one that has begun with them."""
    asked = study.ask()
    folder = _folder(request.out, asked.number)
    settings = [f"{key}={value}" for key, value in asked.settings.items()]
    file = folder.with_name(f"{folder.name}.toml")
    file.parent.mkdir(exist_ok=True)
    changed = load_recipe(_base_file(request.out, recipe), settings)
    write_file(file, dump_recipe(changed))
    criterion = CRITERIA[request.measure]
    _LOG.info("trial %d  %s", asked.number, ", ".join(settings))
    return RunningTrial.start(
        asked, run=runs.RunFolder(folder), recipe=file, criterion=criterion, environment=environment
    )


def _base_file(out: Path, recipe: Recipe) -> Path:
    """Returns a file with the recipe that the trials change."""
    file = out / "base.toml"
    if not file.exists():
        write_file(file, dump_recipe(recipe))
    return file


def _look_at(trial: RunningTrial, study: TuningStudy, received: signal.Signals | None, request: TuneRequest) -> bool:
    """Hands what a trial has measured to the study, and stops it where others are better; returns whether it ended."""
    # Before the measurements are read: those of a process that has ended are complete.
    status = trial.poll()
    if received is None and not trial.pruned:
        for epoch, score in trial.new_scores():
            if study.report(trial.asked, epoch, score):
                trial.prune()
    if status is None:
        return False
    if trial.pruned:
        study.end(trial.asked, "pruned")
    elif received is not None:
        # Its run goes on with the next call.
        study.give_back(trial.asked)
    elif status == 0:
        study.end(trial.asked, "finished", trial.last_score)
    else:
        study.end(trial.asked, "failed", reason=last_line(trial.log).removeprefix("Error: "))
    if received is None:
        _tell(trial, study, request)
    return True


def _tell(trial: RunningTrial, study: TuningStudy, request: TuneRequest) -> None:
    done = study.record(trial.asked.number)
    score = "no score" if done.score is None else f"{request.measure} {done.score:.4g}"
    best = study.best()
    text = "" if best is None else f"; best so far: trial {best.number}, {best.score:.4g}"
    _LOG.info(
        "trial %d  %s after %d %s, %s (%s)%s%s",
        done.number,
        done.state,
        done.epoch,
        "epoch" if done.epoch == 1 else "epochs",
        score,
        format_time(trial.seconds),
        "" if done.reason is None else f": {done.reason}",
        text,
    )


def _write(request: TuneRequest, recipe: Recipe, space: Space, study: TuningStudy) -> TuneRecord:
    """Writes results and the best recipe; returns the results."""
    best = study.best()
    path = request.out / RECIPE_FILE
    if best is not None:
        given = [*request.overrides, *(f"{key}={value}" for key, value in best.settings.items())]
        text = (
            f"# The best of {len(study.records())} trials by {request.measure}, around the recipe {request.base}.\n\n"
        )
        write_file(path, text + dump_recipe(settle_loss(settled(load_recipe(request.base, given)))))
    record = TuneRecord(
        **dict(describe_surroundings(make_strategy("one"))),
        base=request.base,
        data=recipe.data.source,
        measure=request.measure,
        epochs=recipe.train.epochs,
        searched={key: _in_words(domain) for key, domain in space.items()},
        trials=tuple(study.records()),
        best=None if best is None else best.number,
        recipe=None if best is None else str(path),
    )
    write_record(request.out / RESULTS_FILE, record)
    return record


def _in_words(domain: Any) -> str:
    if isinstance(domain, Choices):
        return " | ".join(domain.values)
    return f"{domain.low:g} to {domain.high:g}{', logarithmic' if domain.log else ''}"


def _folder(out: Path, number: int) -> Path:
    return out / "trials" / f"{number:04d}"
