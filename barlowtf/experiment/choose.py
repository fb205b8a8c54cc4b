"""`barlowtf recipe --data`: from images and machine to a recipe, with the reason of each choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from barlowtf import choosing, data
from barlowtf.choosing import Choice, Look, Machine, Situation
from barlowtf.config import Recipe, check_overrides, parse_overrides
from barlowtf.config.durations import format_time, parse_budget
from barlowtf.data import SampleFacts
from barlowtf.distribute import make_strategy
from barlowtf.encoders.building import settle_loss
from barlowtf.encoders.initial import open_origin
from barlowtf.errors import ConfigError
from barlowtf.experiment.data import open_split
from barlowtf.experiment.step_time import step_memory, time_step
from barlowtf.models.encoder import open_kind
from barlowtf.train.stepping import count_steps_per_epoch

# A rung below must need this much less time an epoch: of two equal rungs, timing a few steps calls one faster.
_CLEARLY_CHEAPER = 1.25
# The framework and the images need the rest.
_MEMORY_SHARE = 0.6


@dataclass(frozen=True)
class ChooseRequest:
    """For what to choose a recipe.

    Attributes:
        source: SPEC of the training images.
        overrides: Settings that the user chose, `section.key=value`; the rules take them as given.
        budget: Time that a run may take on this machine: "30m", "8h"; None: an hour, on a GPU eight.
        strategy: "one" or "mirrored", see `barlowtf.distribute.make_strategy`.
        replicas: With "mirrored" on a machine without GPUs: number of logical CPU devices.
    """

    source: str
    overrides: Sequence[str] = ()
    budget: str | None = None
    strategy: str = "one"
    replicas: int | None = None


@dataclass(frozen=True)
class ChosenRecipe:
    """A recipe and why it is as it is.

    Attributes:
        recipe: The recipe; saved, it repeats the run.
        choices: Name of each part -> what was chosen, and why.
        facts: Of a sample of the images.
        machine: Where the step was timed.
        seconds_per_step: Of a warm step on this machine.
        seconds: Time that the run will take.
        left_out: What did not fit into the budget, one line each.
    """

    recipe: Recipe
    choices: dict[str, Choice]
    facts: SampleFacts
    machine: Machine
    seconds_per_step: float
    seconds: float
    left_out: tuple[str, ...]


def choose_recipe(request: ChooseRequest) -> ChosenRecipe:
    """Returns a recipe for images that nobody has written one for.

    Each rung of the ladder of encoders and sizes is timed until one sees enough images in the budget.

    Raises:
        BarlowTFError: The images cannot be read, or a given setting does not fit.
    """
    given = _check_given(request.overrides)
    machine = choosing.describe_machine()
    budget = parse_budget(request.budget or choosing.default_budget(machine))
    strategy = make_strategy(request.strategy, request.replicas)
    source = open_split(request.source, "train")
    facts, look = data.sample_facts(source), choosing.look_at(source)
    ladder = _Ladder(request, machine, strategy, source, facts, look, given, budget)
    rung, left_out = ladder.walk()
    epochs, rung.choices["epochs"] = _choose_epochs(given, rung.affordable, source.size, budget, rung.step_seconds)
    settings = {**rung.settings, **choosing.pace(epochs), "train.epochs": epochs}
    return ChosenRecipe(
        recipe=settle_loss(choosing.assemble(settings, request.overrides)),
        choices=rung.choices,
        facts=facts,
        machine=machine,
        seconds_per_step=rung.step_seconds,
        seconds=choosing.seconds_of(epochs, rung.step_seconds, rung.steps_per_epoch),
        left_out=left_out,
    )


@dataclass(frozen=True)
class _Rung:
    """What was found out about a rung; `affordable` epochs fit into the budget."""

    choices: dict[str, Choice]
    settings: dict[str, Any]
    step_seconds: float
    steps_per_epoch: int
    affordable: int
    settles: bool  # It sees enough images, or there is nothing below it.

    @property
    def epoch_seconds(self) -> float:
        return self.step_seconds * self.steps_per_epoch


@dataclass
class _Ladder:
    """The rungs for some images and a machine, and what they are tried with."""

    request: ChooseRequest
    machine: Machine
    strategy: tf.distribute.Strategy
    source: data.Source
    facts: SampleFacts
    look: Look
    given: dict[str, Any]
    budget: float

    def walk(self) -> tuple[_Rung, tuple[str, ...]]:
        """Returns the rung to take, and why those above it are left out.

        It is the first that sees enough images; a cheaper one must be clearly cheaper, or the noise of a few steps
        would decide.
        """
        taken, left_out, number = self._try(0), [], 0
        while not taken.settles:
            number += 1
            rung = self._try(number)
            if rung.epoch_seconds * _CLEARLY_CHEAPER < taken.epoch_seconds:
                epochs = f"{taken.affordable:,} {'epoch' if taken.affordable == 1 else 'epochs'}"
                few = f"{epochs} in {format_time(self.budget)}, too few to learn"
                left_out.append(f"{taken.choices['encoder'].text}: {few}")
                taken = rung
            elif rung.settles:
                break
        return taken, tuple(left_out)

    def _try(self, number: int) -> _Rung:
        """Applies the rules for a rung, and times its step."""
        situation = Situation(self.facts, self.look, self.machine, given=self.given, rung=number)
        choices = choosing.apply_rules(situation)
        settings = {**situation.chosen, "data.source": self.request.source}
        recipe, batch = _fit_memory(settings, self.request, self.machine, self.strategy)
        if batch is not None:
            choices["batch"] = batch
        # All rungs see the same channels: the first decodes the images for those below it.
        self.source = data.preload(self.source, recipe.data.channels, rendering=data.rendering_of(recipe.data))
        steps_per_epoch = count_steps_per_epoch(
            self.source.size,
            batch_size=recipe.train.batch_size,
            replicas=self.strategy.num_replicas_in_sync,
            micro_batch=recipe.train.micro_batch,
        )
        step_seconds = time_step(recipe, self.source, self.strategy, steps_per_epoch)
        affordable = choosing.affordable_epochs(self.budget, step_seconds, steps_per_epoch)
        is_last = number >= len(choosing.ladder(situation)) - 1
        is_given = "train.epochs" in self.given or {"model.encoder", "augment.size"} <= self.given.keys()
        sees_enough = choosing.learns_enough(affordable, self.source.size, recipe.train.pairs)
        settings = _flat_settings(recipe, settings)
        return _Rung(choices, settings, step_seconds, steps_per_epoch, affordable, is_last or is_given or sees_enough)


def _check_given(overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the settings that the user chose, checked before an image is read or anything is timed.

    Raises:
        ConfigError: There is no such setting, encoder or file of weights, or a value is of another type.
    """
    check_overrides(overrides)
    given = parse_overrides(overrides)
    loss = {key.removeprefix("loss."): value for key, value in given.items() if key.startswith("loss.")}
    settle_loss(Recipe.model_validate({"loss": loss}))
    if "model.encoder" in given:
        try:
            open_kind(str(given["model.encoder"]))
        except ValueError as error:
            raise ConfigError(f"{error} Set model.encoder.") from error
    if given.get("model.init") is not None:
        open_origin(str(given["model.init"]))
    return given


def _flat_settings(recipe: Recipe, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings with batch and micro-batch as they fit into memory."""
    return {**settings, "train.batch_size": recipe.train.batch_size, "train.micro_batch": recipe.train.micro_batch}


def _choose_epochs(
    given: dict[str, Any], affordable: int, images: int, budget: float, seconds_per_step: float
) -> tuple[int, Choice]:
    """Returns the number of epochs, and why."""
    step = f"a step takes {seconds_per_step:.3g} s here"
    if "train.epochs" in given:
        epochs = int(given["train.epochs"])
        return epochs, Choice({}, f"{epochs:,}", f"given; {step}")
    most = choosing.most_epochs(images)
    if affordable < 1:
        return 1, Choice({}, "1", f"not even one fits into {format_time(budget)}: {step}")
    if affordable > most:
        return most, Choice({}, f"{most:,}", f"more are not chosen, though {affordable:,} would fit; {step}")
    return affordable, Choice({}, f"{affordable:,}", f"what fits into {format_time(budget)}; {step}")


def _fit_memory(
    settings: dict[str, Any], request: ChooseRequest, machine: Machine, strategy: tf.distribute.Strategy
) -> tuple[Recipe, Choice | None]:
    """Returns a recipe whose step fits into memory, and the choice of its batch where that had to be changed."""
    limit = _MEMORY_SHARE * (machine.gpu_memory or machine.memory) if machine.gpus else _MEMORY_SHARE * machine.memory
    settings, changed = dict(settings), None
    while True:
        recipe = settle_loss(choosing.assemble({**settings, **choosing.pace(1), "train.epochs": 1}, request.overrides))
        needed = step_memory(recipe, strategy)
        micro_batch = recipe.train.micro_batch or recipe.train.batch_size
        if needed <= limit or micro_batch <= 2 or "train.micro_batch" in parse_overrides(request.overrides):
            return recipe, changed
        whole = f"a whole step of {recipe.train.batch_size} would take {needed / 1e9:.0f} GB"
        reason = f"{whole} of {limit / _MEMORY_SHARE / 1e9:.0f} GB"
        one_device = strategy.num_replicas_in_sync == 1
        if one_device and recipe.train.pairs == 1:
            settings["train.micro_batch"] = micro_batch // 2
            changed = Choice({}, f"{recipe.train.batch_size}, {micro_batch // 2} at a time", reason)
        elif "train.batch_size" in parse_overrides(request.overrides):
            return recipe, changed
        else:
            settings["train.batch_size"] = recipe.train.batch_size // 2
            changed = Choice({}, f"{recipe.train.batch_size // 2} images per step", reason)
