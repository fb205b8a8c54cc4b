"""A recipe for images that nobody has written one for: what they are like, what the machine can do, and rules."""

from barlowtf.choosing.assembling import assemble
from barlowtf.choosing.budget import (
    START_SECONDS,
    affordable_epochs,
    default_budget,
    learns_enough,
    most_epochs,
    seconds_of,
)
from barlowtf.choosing.encoder_rules import ladder
from barlowtf.choosing.known_rates import KnownRate, has_known_rates, known_rate
from barlowtf.choosing.looking import Look, Symmetry, look_at
from barlowtf.choosing.machine import Machine, describe_machine
from barlowtf.choosing.rules import RULES, apply_rules
from barlowtf.choosing.situation import Choice, Rule, Situation
from barlowtf.choosing.training_rules import BIAS_GRADIENT_SCALE, BIAS_SHARE, pace

__all__ = [
    "BIAS_GRADIENT_SCALE",
    "BIAS_SHARE",
    "RULES",
    "START_SECONDS",
    "Choice",
    "KnownRate",
    "Look",
    "Machine",
    "Rule",
    "Situation",
    "Symmetry",
    "affordable_epochs",
    "apply_rules",
    "assemble",
    "default_budget",
    "describe_machine",
    "has_known_rates",
    "known_rate",
    "ladder",
    "learns_enough",
    "look_at",
    "most_epochs",
    "pace",
    "seconds_of",
]
