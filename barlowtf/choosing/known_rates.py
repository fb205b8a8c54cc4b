"""Learning rates that are known to work, to compare a recipe's with."""

from dataclasses import dataclass

from barlowtf.choosing.training_rules import (
    CLIPPED_LARS_RATE,
    LARS_RATES,
    RESNET_ADAMW_RATE,
    TRANSFORMER_ADAMW_RATE,
    is_resnet,
)
from barlowtf.config import Recipe


@dataclass(frozen=True)
class KnownRate:
    """A rate of the weights per 256 images, and where it is from.

    Attributes:
        rate: The rate, > 0.
        source: Where it worked.
    """

    rate: float
    source: str


def has_known_rates(recipe: Recipe) -> bool:
    """Returns whether rates are known for a recipe's loss: for the default alone; others have other gradients."""
    return recipe.loss.name == Recipe().loss.name


def known_rate(recipe: Recipe) -> KnownRate | None:
    """Returns the rate that is known for the optimizer, batch and encoder nearest to a recipe's; None: none is."""
    optimizer, batch = recipe.optimizer, recipe.train.batch_size
    if not has_known_rates(recipe):
        return None
    if optimizer.name == "adamw":
        if is_resnet(recipe.model.encoder):
            return KnownRate(RESNET_ADAMW_RATE, "the recipes cifar10-cpu and digits")
        return KnownRate(TRANSFORMER_ADAMW_RATE, "what barlowtf recipe chooses for other encoders than ResNets")
    if optimizer.name != "lars":
        return None
    if getattr(optimizer, "clip", False):
        return KnownRate(CLIPPED_LARS_RATE, "the recipe cifar10")
    nearest = min(LARS_RATES, key=lambda size: abs(size - batch))
    return KnownRate(LARS_RATES[nearest], f"the authors' rate for a batch of {nearest:,}")
