"""Optimizers and learning rate schedules."""

from barlowtf.optim.lamb import LAMB
from barlowtf.optim.lars import LARS
from barlowtf.optim.make import SGD, AdamW, make_optimizer
from barlowtf.optim.momentum import EpochSchedule, MomentumSGD, epoch_rates
from barlowtf.optim.schedules import WarmupCosine
from barlowtf.optim.warmup_steps import WarmupSteps

__all__ = [
    "LAMB",
    "LARS",
    "SGD",
    "AdamW",
    "EpochSchedule",
    "MomentumSGD",
    "WarmupCosine",
    "WarmupSteps",
    "epoch_rates",
    "make_optimizer",
]
