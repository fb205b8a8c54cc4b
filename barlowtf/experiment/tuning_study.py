"""The study behind a search for settings: which trials there are, what to try next, and which to stop.

Optuna keeps it, in a journal that several machines may share or in a database. Draws of a trial follow from the seed
and the number of trials before it, so that a study with one trial at a time gives the same trials however often it was
stopped.

Successive halving (arXiv:1810.05934, asynchronous): after as many epochs as a rung says, one of `reduction` trials that
have come so far goes on. The rule is written here because Optuna's pruner also counts the trials that were interrupted
and have others in their place.
"""

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from barlowtf.atomic import is_running, write_file
from barlowtf.config.search_space import Choices, Space
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.records import TuneTrial

_JOURNAL, _SETTLING_SECONDS = "study.log", 2.0
_FOLDER, _OWNER, _REASON, _SETTINGS, _REPLACED = "folder", "owner", "reason", "settings", "replaced"


State = Literal["finished", "pruned", "failed"]


class AskedTrial(NamedTuple):
    """A trial to run: number of its folder, Optuna's own object, and its settings as TOML."""

    number: int
    trial: Any
    settings: Mapping[str, str]


class TuningStudy:
    """A study in a folder."""

    IDENTITY: ClassVar[str] = "study.json"

    def __init__(
        self,
        folder: Path,
        space: Space,
        *,
        rungs: Sequence[int],
        reduction: int,
        seed: int,
        storage: str | None,
        identity: Mapping[str, str],
    ) -> None:
        """Opens the study, or begins it.

        Args:
            folder: Of the study.
            space: What is tried.
            rungs: Epochs after which trials are compared.
            reduction: One of so many trials goes on at each of them.
            seed: Of the draws.
            storage: URL of a database; None: a journal in the folder.
            identity: What all trials of a study share.

        Raises:
            ConfigError: Optuna is not installed, or the folder holds a study of something else.
        """
        self._optuna = _import_optuna()
        self._space, self._seed = space, seed
        self._rungs, self._reduction = frozenset(rungs), reduction
        _require_same(folder / self.IDENTITY, identity)
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        journal = folder / _JOURNAL
        try:
            self._study = self._optuna.create_study(
                # A folder has one study, whatever it is called; a database may have many.
                study_name="study" if storage is None else folder.resolve().name,
                storage=storage or _journal(self._optuna, journal),
                direction="maximize",
                pruner=self._optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
        # Optuna raises what it likes over a journal that is damaged, and over a database that does not answer.
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            if storage is not None:
                raise ConfigError(f"Cannot open the study in {storage}: {reason}. Check --storage.") from error
            raise CheckpointError(
                f"{journal} is damaged: {reason}. Delete it: the same command finds the trials in their folders again."
            ) from error

    def wants_more(self, trials: int) -> bool:
        """Returns whether there are fewer trials than wanted, or one that waits to go on."""
        states = self._optuna.trial.TrialState
        waiting = any(trial.state == states.WAITING for trial in self._study.trials)
        return waiting or len(self._counted()) < trials

    def ask(self) -> AskedTrial:
        """Returns the next trial: one that waits to go on, or a new one."""
        draws = self._seed * 1_000_003 + len(self._counted())
        self._study.sampler = self._optuna.samplers.TPESampler(seed=draws % 2**32)
        trial = self._study.ask()
        settings = {key: _suggest(trial, key, domain) for key, domain in self._space.items()}
        # Each replaced trial has another one in its place, which has a number of Optuna's and no folder of its own.
        replaced = sum(key.startswith(_REPLACED) for key in self._study.user_attrs)
        trial.set_user_attr(_FOLDER, trial.user_attrs.get(_FOLDER, trial.number - replaced))
        trial.set_user_attr(_SETTINGS, settings)
        trial.set_user_attr(_OWNER, [socket.gethostname(), os.getpid()])
        return AskedTrial(trial.user_attrs[_FOLDER], trial, settings)

    def report(self, asked: AskedTrial, epoch: int, score: float) -> bool:
        """Keeps a score; returns whether the trial is to stop, because others were better after as many epochs."""
        asked.trial.report(score, epoch)
        if epoch not in self._rungs:
            return False
        reached = (trial.intermediate_values.get(epoch) for trial in self._counted())
        scores = sorted((value for value in reached if value is not None), reverse=True)
        return score < scores[max(len(scores) // self._reduction, 1) - 1]

    def end(
        self,
        asked: AskedTrial,
        state: State,
        score: float | None = None,
        reason: str | None = None,
    ) -> None:
        """Ends a trial; one that finished without a score has failed."""
        states = self._optuna.trial.TrialState
        if state == "finished" and score is None:
            state, reason = "failed", "nothing was measured"
        if reason is not None:
            asked.trial.set_user_attr(_REASON, reason)
        kind = {"finished": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[state]
        self._study.tell(asked.trial, score if state == "finished" else None, state=kind)

    def give_back(self, asked: AskedTrial) -> None:
        """Has a trial that was interrupted go on later, with the same settings and in the same folder."""
        self._requeue(asked.trial.number)

    def take_back_lost(self) -> list[int]:
        """Has the trials go on whose process on this machine is gone; returns the numbers of their folders."""
        states = self._optuna.trial.TrialState
        lost = []
        for trial in self._study.trials:
            host, process = trial.user_attrs.get(_OWNER, (None, 0))
            if trial.state == states.RUNNING and host == socket.gethostname() and not is_running(int(process)):
                self._requeue(trial.number)
                lost.append(int(trial.user_attrs[_FOLDER]))
        return lost

    def records(self) -> list[TuneTrial]:
        """Returns the trials, by number of folder."""
        return sorted((_as_record(trial) for trial in self._counted()), key=lambda trial: trial.number)

    def record(self, number: int) -> TuneTrial:
        """Returns the trial of a folder."""
        return next(trial for trial in self.records() if trial.number == number)

    def best(self) -> TuneTrial | None:
        """Returns the finished trial of the largest score, the first of equals; None where none has finished."""
        finished = [trial for trial in self.records() if trial.state == "finished" and trial.score is not None]
        return max(finished, key=lambda trial: trial.score or 0.0, default=None)

    def _counted(self) -> list[Any]:
        """Returns Optuna's trials without those that others go on for."""
        replaced = self._study.user_attrs
        return [
            trial
            for trial in self._study.trials
            if _FOLDER in trial.user_attrs and f"{_REPLACED} {trial.number}" not in replaced
        ]

    def _requeue(self, number: int) -> None:
        """Ends a trial for Optuna and puts an equal one in its place, which goes on in its folder."""
        trial = self._study.trials[number]
        kept = {key: trial.user_attrs[key] for key in (_FOLDER, _SETTINGS)}
        if f"{_REPLACED} {number}" not in self._study.user_attrs:
            self._study.enqueue_trial(trial.params, user_attrs=kept)
            self._study.set_user_attr(f"{_REPLACED} {number}", True)
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)


def _suggest(trial: Any, key: str, domain: Any) -> str:
    """Returns the value of a setting in a trial, as TOML."""
    if isinstance(domain, Choices):
        return str(trial.suggest_categorical(key, domain.values))
    if domain.whole:
        return str(trial.suggest_int(key, int(domain.low), int(domain.high), log=domain.log))
    return f"{trial.suggest_float(key, domain.low, domain.high, log=domain.log):.4g}"


def _as_record(trial: Any) -> TuneTrial:
    states: Mapping[str, State] = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}
    epoch, score = max(trial.intermediate_values.items(), default=(0, None))
    return TuneTrial(
        number=int(trial.user_attrs[_FOLDER]),
        state=states.get(trial.state.name, "running"),
        settings=trial.user_attrs[_SETTINGS],
        score=None if score is None else float(score),
        epoch=int(epoch),
        reason=trial.user_attrs.get(_REASON),
    )


def _require_same(file: Path, identity: Mapping[str, str]) -> None:
    """Writes what a study is of, or checks it.

    Raises:
        ConfigError: The folder holds a study of something else.
    """
    if not file.exists():
        write_file(file, json.dumps(dict(identity), indent=2) + "\n")
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"Cannot read {file}: {error}. Choose another --out.") from error
    differing = [key for key in identity if not isinstance(before, dict) or before.get(key) != identity[key]]
    if differing:
        raise ConfigError(
            f"{file.parent} holds a study with another {' and another '.join(differing)}. Give the same options to go "
            "on with it, or choose another --out."
        )


def _journal(optuna: Any, file: Path) -> Any:
    """Returns the storage of a journal; a last line that a power cut has torn is dropped, or the next would end it."""
    if file.exists():
        content = file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        # Another machine may be writing it at this moment.
        time.sleep(_SETTLING_SECONDS if len(whole) < len(content) else 0.0)
        if len(whole) < len(content) and file.stat().st_size == len(content):
            with open(file, "r+b") as torn:
                torn.truncate(len(whole))
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))


def _import_optuna() -> Any:
    try:
        import optuna
        import optuna.storages.journal
    except ImportError as error:
        raise ConfigError('The search needs Optuna, which is not installed: pip install "barlowtf[tune]".') from error
    return optuna
