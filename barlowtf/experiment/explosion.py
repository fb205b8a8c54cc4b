"""What has made the numbers of a run infinite, as far as it shows, and how to go on."""

import shlex
from pathlib import Path

import keras
import tensorflow as tf

from barlowtf.config import Recipe
from barlowtf.errors import NonFiniteError

_LOWER = 4.0


def explain_explosion(
    recipe: Recipe, run: Path, model: keras.Model, error: NonFiniteError, saved: int | None
) -> NonFiniteError:
    """Returns the error that ends a run in numbers that are not finite: cause, what is saved, what to do.

    Args:
        recipe: Of the run.
        run: The run folder.
        model: The model, given back the last finite state where one is saved.
        error: The first thing that was seen.
        saved: Finished steps of the last finite state on the disk; None: this process has saved none.
    """
    what = "The state after step" if error.bad_state == error.step else "Step"
    seen = f"{what} {error.step} is not finite: the first such tensor is {error.tensor}."
    cause, remedy = _cause(recipe, model, error)
    if saved is None:
        return NonFiniteError(f"{seen} Cause: {cause}.")
    if remedy is None:
        return NonFiniteError(f"{seen} Cause: {cause}. Start again with values that fit, in another --run-dir.")
    again = f"barlowtf pretrain --extend {shlex.quote(str(run))} --set {remedy}"
    text = f"{seen} Cause: {cause}. The state after step {saved} is saved; go on from it: {again}."
    return NonFiniteError(text)


def _cause(recipe: Recipe, model: keras.Model, error: NonFiniteError) -> tuple[str, str | None]:
    """Returns what is the likely cause, and the setting that takes it away; None: no setting of a run that goes on."""
    optimizer = recipe.optimizer
    lower = f"optimizer.learning_rate={optimizer.learning_rate / _LOWER:.3g}"
    if error.tensor.startswith("images"):
        return (
            "the data: augment.mean and augment.std do not fit the images, see the settings of barlowtf data show",
            None,
        )
    if error.step == 0:
        return "the weights that the run starts from, which are not finite", lower
    if error.step == 1 and not error.tensor.startswith(("weight", "optimizer")):
        return (
            "the start, as no weight has moved yet: the weights that the run starts from, optimizer.gradient_scale, or "
            "augment.mean and augment.std, which do not fit the images",
            lower,
        )
    rate = float(tf.convert_to_tensor(model.optimizer.learning_rate))
    if recipe.train.precision == "mixed_bfloat16":
        return (
            f"the learning rate, {rate:.3g} there, or the precision, mixed_bfloat16 (float32 would tell)",
            lower,
        )
    return f"the learning rate, {rate:.3g} there, is too high, or its warm-up too short", lower
