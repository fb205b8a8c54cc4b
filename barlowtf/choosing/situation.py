"""What a rule may look at, and what it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from barlowtf.choosing.looking import Look
from barlowtf.choosing.machine import Machine
from barlowtf.data import SampleFacts

# Short sides that share rules, pixels: digits and letters; CIFAR; Tiny ImageNet and STL; photographs.
_TINY, _SMALL, _MEDIUM = 12, 48, 128


class Choice(NamedTuple):
    """What a rule chose.

    Attributes:
        settings: Setting of the recipe -> value: {"augment.size": 96}.
        text: The choice in a few words: "96 pixels".
        reason: Why, one sentence without a full stop.
    """

    settings: Mapping[str, Any]
    text: str
    reason: str


@dataclass
class Situation:
    """Everything that is known when a rule is applied.

    Attributes:
        facts: Of a sample of the images.
        look: Of a sample of the images.
        machine: Where the run will train.
        given: Settings that the user chose; no rule changes them.
        rung: How far down the ladder of encoders and sizes to go, from 0; each rung costs less.
        chosen: Settings that rules and user have chosen so far.
    """

    facts: SampleFacts
    look: Look
    machine: Machine
    given: Mapping[str, Any] = field(default_factory=dict)
    rung: int = 0
    chosen: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        """Returns a setting that an earlier rule or the user chose."""
        return self.chosen[key]

    @property
    def short_side(self) -> int:
        """Median short side of the images, pixels."""
        return min(self.facts.heights[1], self.facts.widths[1])

    @property
    def seen_side(self) -> int:
        """Short side of what the views are cut from, pixels: the window's or the image's."""
        window = self.chosen.get("augment.window")
        return self.short_side if window is None else min(window, self.short_side)

    @property
    def scale(self) -> str:
        """Which images share rules: "tiny", "small", "medium" or "large"."""
        bounds = (("tiny", _TINY), ("small", _SMALL), ("medium", _MEDIUM))
        return next((name for name, bound in bounds if self.seen_side <= bound), "large")

    @property
    def has_colors(self) -> bool:
        """Whether the images to train with are RGB."""
        return bool(self["data.channels"] == 3)


@dataclass(frozen=True)
class Rule:
    """How one part of a recipe is chosen.

    Attributes:
        name: Of the part, as it is printed: "view".
        choose: The choice in a situation.
        summary: The rule in words, for the table of docs/train-on-your-photos.md.
        source: Where it comes from: a paper, a packaged recipe, or a file of benchmarks/results.
    """

    name: str
    choose: Callable[[Situation], Choice]
    summary: str
    source: str
