"""How long to train: epochs that fit into a time, and the encoder that learns enough in it."""

from barlowtf.choosing.machine import Machine

# Pairs of views that an encoder should see; the run cifar10_cpu had 1.5 million, and 0.3 million gave it 60 % of its
# gain in kNN accuracy (benchmarks/results/cifar10_cpu.json).
ENOUGH_PAIRS = 200_000
# Start, compilation and measurements take their share of a budget: seconds, and a part of the rest.
START_SECONDS, _USABLE = 30.0, 0.93
_MOST_EPOCHS = 1000
# Few images may be seen more often: pairs of views after which more epochs are not chosen.
_MOST_PAIRS = 1_000_000


def default_budget(machine: Machine) -> str:
    """Returns the budget where the user gives none: an hour on a processor, eight on a GPU."""
    return "8h" if machine.gpus else "1h"


def most_epochs(images: int) -> int:
    """Returns the number of epochs above which more are not chosen, whatever the budget."""
    return max(_MOST_EPOCHS, -(-_MOST_PAIRS // images))


def affordable_epochs(seconds: float, seconds_per_step: float, steps_per_epoch: int) -> int:
    """Returns how many epochs fit into a budget; 0 where not even one does."""
    usable = max(seconds - START_SECONDS, 0.0) * _USABLE
    return int(usable / (seconds_per_step * steps_per_epoch))


def seconds_of(epochs: int, seconds_per_step: float, steps_per_epoch: int) -> float:
    """Returns the time that a run of some epochs will take, the reverse of `affordable_epochs`."""
    return START_SECONDS + epochs * seconds_per_step * steps_per_epoch / _USABLE


def learns_enough(epochs: int, images: int, pairs: int) -> bool:
    """Returns whether a run sees enough pairs of views, or the most epochs that are chosen."""
    return epochs >= most_epochs(images) or epochs * images * pairs >= ENOUGH_PAIRS
