"""Rules for batch, precision, optimizer, and how often to look and to save."""

import re

from barlowtf.choosing.situation import Choice, Situation

_ADAMW_RATE = 0.008
# The authors' rates of the weights by batch, 300 epochs (issue 7 of their repository).
_LARS_RATES = {128: 0.7, 256: 0.4, 512: 0.3, 1024: 0.25, 2048: 0.2, 4096: 0.2}
_BIAS_RATE = 0.024
_SMALLEST_BATCH = 16
# Measurements during a run, each of which takes seconds.
_LOOKS = 6


def choose_batch(situation: Situation) -> Choice:
    """Returns the batch size."""
    largest = {
        "tiny": 64,
        "small": 256 if situation.machine.gpus else 128,
        "medium": 256 if situation.machine.gpus else 128,
    }
    target = largest.get(situation.scale, 256 if situation.machine.gpus else 64)
    quarter = max(situation.facts.images // 4, 2)
    batch = min(target, max(2 ** (quarter.bit_length() - 1), _SMALLEST_BATCH), situation.facts.images)
    if batch == situation.facts.images:
        reason = f"all {batch} images: far more are needed to learn what sets them apart"
    elif batch == target:
        reason = "large enough for the statistics, small enough for many steps"
    elif batch == _SMALLEST_BATCH:
        reason = "a smaller one has no statistics"
    else:
        reason = "at least four steps per epoch"
    return Choice({"train.batch_size": batch}, f"{batch} images per step", reason)


def choose_precision(situation: Situation) -> Choice:
    """Returns the precision."""
    if situation.machine.bfloat16:
        return Choice(
            {"train.precision": "mixed_bfloat16"}, "mixed_bfloat16", "faster here; loss and statistics stay float32"
        )
    return Choice({"train.precision": "float32"}, "float32", "bfloat16 is not faster here")


def choose_optimizer(situation: Situation) -> Choice:
    """Returns optimizer and rates; the warm-up follows with the epochs."""
    batch, encoder = situation["train.batch_size"], situation["model.encoder"]
    if not re.fullmatch(r"resnet\d.*", encoder):
        settings = {"optimizer.name": "adamw", "optimizer.learning_rate": 0.0005, "optimizer.weight_decay": 0.05}
        return Choice(settings, "AdamW, rate 0.0005 per 256 images", "what is not a ResNet trains with AdamW")
    if not situation.machine.gpus or batch < min(_LARS_RATES) or situation.scale == "tiny":
        decay = 0.01 if situation.scale == "tiny" else 1e-4
        settings = {"optimizer.name": "adamw", "optimizer.learning_rate": _ADAMW_RATE, "optimizer.weight_decay": decay}
        return Choice(settings, f"AdamW, rate {_ADAMW_RATE} per 256 images", "learns in fewer steps than LARS")
    if situation.scale != "large":
        settings = {
            "optimizer.name": "lars",
            "optimizer.learning_rate": 0.3,
            "optimizer.bias_learning_rate": 0.3,
            "optimizer.weight_decay": 1e-4,
            "optimizer.eta": 0.02,
            "optimizer.clip": True,
            "optimizer.gradient_scale": 0.1,
        }
        return Choice(settings, "LARS with a clip, rate 0.3", "as in the recipe cifar10")
    nearest = min(_LARS_RATES, key=lambda size: abs(size - batch))
    rate = _LARS_RATES[nearest]
    settings = {
        "optimizer.name": "lars",
        "optimizer.learning_rate": rate,
        "optimizer.bias_learning_rate": round(rate * _BIAS_RATE, 5),
    }
    return Choice(settings, f"LARS, rate {rate}", f"the authors' rate for a batch of {nearest}")


def pace(epochs: int) -> dict[str, object]:
    """Returns what follows from the number of epochs: warm-up, and how often to look and to save."""
    every = max(epochs // _LOOKS, 1)
    return {
        "optimizer.warmup_epochs": min(10.0, round(0.04 * epochs, 3)),
        "monitor.knn_every_epochs": every,
        "monitor.collapse_every_epochs": every,
        "monitor.knn_bank": 5_000,
        "monitor.knn_queries": 2_000,
        "checkpoint.every_minutes": 5.0,
        "checkpoint.keep": 2,
    }
