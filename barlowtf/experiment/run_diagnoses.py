"""What can be wrong with a run, from what it has left on the disk: recipe, run.json, metrics, checkpoints."""

import shlex
from collections.abc import Iterator, Sequence

import numpy as np

from barlowtf.experiment.diagnosis import Diagnosis, Symptom
from barlowtf.experiment.learning_diagnoses import LEARNING_DIAGNOSES
from barlowtf.experiment.run_facts import RunFacts, percent

# Buffers fill during the first steps, and a few steps say nothing.
_INPUT_WAIT, _FEWEST_TIMED = 0.2, 100
_SAVE_MINUTES, _FEW_STEPS, _SMALL_BATCH = 30.0, 300, 16


def _failures(run: RunFacts) -> Iterator[Symptom]:
    if run.info is not None and run.info.failures and run.info.status != "finished":
        # Nothing to extend, and a folder that takes any recipe.
        anew = "Do what the error says, and begin anew in the same folder, with the same settings or others."
        change = None if run.saved_steps else anew
        yield Symptom(f"{_ended(run.info.failures)}; {_saved(run)}.", run.info.failures[-3:], change)


def _past_failures(run: RunFacts) -> Iterator[Symptom]:
    if run.info is not None and run.info.failures and run.info.status == "finished":
        yield Symptom(f"{_ended(run.info.failures)}.", run.info.failures[-3:])


def _ended(failures: Sequence[str]) -> str:
    times = "once" if len(failures) == 1 else f"{len(failures)} times"
    return f"An error has ended a process of the run {times}"


def _saved(run: RunFacts) -> str:
    if run.saved_steps:
        return f"saved at step {run.saved_steps[-1]:,}"
    return "nothing is saved, so it starts from the beginning"


def _input_bound(run: RunFacts) -> Iterator[Symptom]:
    waits = run.column("input_wait")
    if run.step >= _FEWEST_TIMED and waits and float(np.median(waits)) > _INPUT_WAIT:
        speed = run.column("images_per_second")
        shown = [f"{float(np.median(speed)):.4g} images/s"] if speed else []
        yield Symptom(f"Steps wait for their images {percent(float(np.median(waits)))} of the time.", shown)


def _rare_saves(run: RunFacts) -> Iterator[Symptom]:
    settings, seconds = run.recipe.checkpoint, run.seconds_per_step
    minutes = [settings.every_minutes] if settings.every_minutes is not None else []
    if settings.every_steps is not None and seconds is not None:
        minutes.append(settings.every_steps * seconds / 60)
    if run.info is None or seconds is None:
        return
    whole = run.info.steps.total * seconds / 60
    between = min([*minutes, whole])
    if between > _SAVE_MINUTES:
        yield Symptom(f"A crash costs up to {between:.0f} minutes of training: so long is the time between two saves.")


def _small_batch(run: RunFacts) -> Iterator[Symptom]:
    if run.recipe.train.batch_size < _SMALL_BATCH:
        yield Symptom(f"A step sees {run.recipe.train.batch_size} images.")


def _few_steps(run: RunFacts) -> Iterator[Symptom]:
    if run.info is not None and run.info.steps.total < _FEW_STEPS:
        extend = f"Train for N more epochs: barlowtf pretrain --extend {shlex.quote(str(run.path))} --epochs N."
        yield Symptom(
            f"The run has {run.info.steps.total:,} steps of {run.recipe.train.batch_size:,} images.",
            [f"{run.recipe.train.epochs} epochs of {run.info.steps.per_epoch:,} steps"],
            extend if run.info.status == "finished" else None,
        )


def _skipped(run: RunFacts) -> Iterator[Symptom]:
    count = sum(run.skipped.values())
    if count:
        files = [f"{lines:,} in {file}" for file, lines in run.skipped.items()]
        yield Symptom(f"{count:,} image{' was' if count == 1 else 's were'} passed over as unreadable.", files)


def _stopped(run: RunFacts) -> Iterator[Symptom]:
    # What an error has ended is told by the error.
    if run.in_use or run.info is None or run.info.status == "finished" or run.info.failures:
        return
    how = "was stopped" if run.info.status == "interrupted" else "was killed"
    yield Symptom(
        f"The run {how} at step {run.step:,} of {run.info.steps.total:,}, {_saved(run)}.",
        [f"command: {run.info.command}"],
    )


def _not_started(run: RunFacts) -> Iterator[Symptom]:
    if run.info is None and not run.in_use:
        yield Symptom("The run has a recipe and has taken no step.")


def _no_encoder(run: RunFacts) -> Iterator[Symptom]:
    if run.info is not None and run.info.status == "finished" and not run.has_encoder:
        yield Symptom("The run is finished and its encoder.keras is missing.")


RUN_DIAGNOSES: dict[str, Diagnosis[RunFacts]] = {
    "failures": Diagnosis(
        "harm",
        "errors that ended a process of the run: values that are not finite, full memory, a full disk",
        "Do what the error says, and run the same command again. To go on with other settings: pretrain --extend.",
        _failures,
    ),
    **LEARNING_DIAGNOSES,
    "small batch": Diagnosis(
        "harm",
        f"a batch below {_SMALL_BATCH} images",
        "Set a larger train.batch_size: correlations over so few images are chance.",
        _small_batch,
    ),
    "stopped": Diagnosis(
        "harm",
        "a run that is not finished while no process holds its folder",
        "Run the same command again.",
        _stopped,
    ),
    "not started": Diagnosis(
        "harm", "a run folder without a step", "Start it with barlowtf pretrain on this folder.", _not_started
    ),
    "no encoder": Diagnosis(
        "harm",
        "a finished run whose encoder.keras is missing",
        "Run the same command again: it goes on from the last checkpoint.",
        _no_encoder,
    ),
    "input-bound": Diagnosis(
        "harm",
        f"steps that wait for their images more than {100 * _INPUT_WAIT:g} % of the time, after {_FEWEST_TIMED} steps",
        "Shrink the images, pack them (barlowtf data pack), keep them on a local disk, or use more cores.",
        _input_bound,
    ),
    "skipped images": Diagnosis(
        "note",
        "images that could not be read and were passed over",
        "The files name them. Replace or delete them once the run has finished: it goes on with the same images alone.",
        _skipped,
    ),
    "past failures": Diagnosis(
        "note",
        "errors that ended a process of a run that has finished since",
        "Nothing, if you know why.",
        _past_failures,
    ),
    "rare saves": Diagnosis(
        "note",
        f"more than {_SAVE_MINUTES:g} minutes between two saves",
        "Set checkpoint.every_minutes = 10.",
        _rare_saves,
    ),
    "few steps": Diagnosis(
        "note",
        f"fewer than {_FEW_STEPS} steps in all",
        "Train for more epochs, barlowtf pretrain --extend RUN --epochs N, or begin anew with a smaller "
        "train.batch_size.",
        _few_steps,
    ),
}
