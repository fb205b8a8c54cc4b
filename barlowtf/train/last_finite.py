"""The last good state of a run that has ended in numbers that are not finite, put on the disk."""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from barlowtf.errors import NonFiniteError
from barlowtf.models import checkpoint
from barlowtf.train import loop
from barlowtf.train.callbacks import SaveCheckpoints
from barlowtf.train.pairs import pairs_kept
from barlowtf.train.saver import BackgroundSaver

_LOG = logging.getLogger("barlowtf")


@dataclass(frozen=True)
class StepsAgain:
    """How to take steps of a run a second time. Order and draws follow from the step alone: they are the same steps.

    Attributes:
        step_function: Finished steps -> what takes those that follow, see `loop.train`.
        batches: Finished steps -> what each call takes.
        steps_per_epoch: See `loop.train`.
        steps_per_call: See `loop.train`.
        stop_requested: Whether to leave it at what is there.
    """

    step_function: Callable[[int], loop.Step]
    batches: Callable[[int], Iterator[Any]]
    steps_per_epoch: int
    steps_per_call: int
    stop_requested: Callable[[], bool]

    def take(self, step: int, before: int) -> Iterator[int]:
        """Yields the finished steps after each call from `step` on that ends before `before` and is finite."""
        end = step + loop.steps_of_call(step, self.steps_per_epoch, self.steps_per_call)
        if end >= before:
            return
        function, batches = self.step_function(step), self.batches(step)
        while end < before and not self.stop_requested():
            if int(function(next(batches))[loop.FIRST_NONFINITE]) >= 0:
                return
            yield end
            end += loop.steps_of_call(end, self.steps_per_epoch, self.steps_per_call)


def find_saver(watchers: Iterable[keras.callbacks.Callback]) -> BackgroundSaver | None:
    """Returns what saves a run and holds a state of it; None where there is no such callback."""
    savers = (watcher.saver for watcher in watchers if isinstance(watcher, SaveCheckpoints))
    return next((saver for saver in savers if saver is not None and saver.held is not None), None)


@pairs_kept()
def save_last_finite(saver: BackgroundSaver, model: keras.Model, again: StepsAgain | None, *, bad_state: int) -> int:
    """Saves the last state from which a step was finite, and deletes the checkpoints of later ones.

    Args:
        saver: Holds a state of the run.
        model: The model; it is left in the state that is saved, or in a later one.
        again: Takes the steps between that state and the last good one; None: the state itself is saved.
        bad_state: Finished steps of the first state that is not finite, or from which the next step is not.

    Returns:
        Finished steps of the state on the disk.

    Raises:
        CheckpointError: It cannot be written.
    """
    saver.finish()
    step = saver.give_back()
    if step >= bad_state and any(checkpoint.step_of(path) < bad_state for path in _checkpoints(saver)):
        step = checkpoint.restore_state(saver.folder, checkpoint.training_state(model), before=bad_state)
        saver.hold(step, even_after_jump=True)
    # At once: whatever happens while steps are taken again, this much is kept.
    saver.save_held()
    if again is not None and step < bad_state:
        _LOG.info("The state after step %d is saved. Taking the steps from there to the last good one again.", step)
        try:
            for finished in again.take(step, bad_state):
                saver.hold(finished, even_after_jump=True)
        except NonFiniteError as error:
            _LOG.debug("Found again: %s", error)
        saver.save_held()
    held = step if saver.held is None else saver.held
    for path in _checkpoints(saver):
        if checkpoint.step_of(path) > held:
            shutil.rmtree(path)
    return held


def _checkpoints(saver: BackgroundSaver) -> list[Any]:
    return checkpoint.list_checkpoints(saver.folder)
