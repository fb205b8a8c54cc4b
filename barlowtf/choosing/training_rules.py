"""Rules for batch, precision, optimizer, and how often to look and to save."""

import re

from barlowtf.choosing.situation import Choice, Situation

RESNET_ADAMW_RATE, TRANSFORMER_ADAMW_RATE = 0.008, 0.0005
CLIPPED_LARS_RATE = 0.3
# The authors' rates of the weights by batch, 300 epochs (issue 7 of their repository).
LARS_RATES = {128: 0.7, 256: 0.4, 512: 0.3, 1024: 0.25, 2048: 0.2, 4096: 0.2}
# Their rate of the biases, as a share of it, and the factor on the gradient that it belongs to: with W devices their
# code applies 1/W of the gradient, which LARS hides for the weights alone.
BIAS_SHARE, BIAS_GRADIENT_SCALE = 0.024, 1 / 16
_SMALLEST_BATCH = 16
# Measurements during a run, each of which takes seconds.
_LOOKS = 6


def is_resnet(encoder: str) -> bool:
    """Returns whether an encoder's name is that of a ResNet."""
    return re.fullmatch(r"resnet\d.*", encoder) is not None


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
    if not is_resnet(encoder):
        rate = TRANSFORMER_ADAMW_RATE
        settings = {"optimizer.name": "adamw", "optimizer.learning_rate": rate, "optimizer.weight_decay": 0.05}
        return Choice(settings, f"AdamW, rate {rate} per 256 images", "what is not a ResNet trains with AdamW")
    if not situation.machine.gpus or batch < min(LARS_RATES) or situation.scale == "tiny":
        decay = 0.01 if situation.scale == "tiny" else 1e-4
        settings = {
            "optimizer.name": "adamw",
            "optimizer.learning_rate": RESNET_ADAMW_RATE,
            "optimizer.weight_decay": decay,
        }
        return Choice(settings, f"AdamW, rate {RESNET_ADAMW_RATE} per 256 images", "learns in fewer steps than LARS")
    if situation.scale != "large":
        settings = {
            "optimizer.name": "lars",
            "optimizer.learning_rate": CLIPPED_LARS_RATE,
            "optimizer.bias_learning_rate": CLIPPED_LARS_RATE,
            "optimizer.weight_decay": 1e-4,
            "optimizer.eta": 0.02,
            "optimizer.clip": True,
            "optimizer.gradient_scale": 0.1,
        }
        return Choice(settings, "LARS with a clip, rate 0.3", "as in the recipe cifar10")
    nearest = min(LARS_RATES, key=lambda size: abs(size - batch))
    rate = LARS_RATES[nearest]
    settings = {
        "optimizer.name": "lars",
        "optimizer.learning_rate": rate,
        "optimizer.bias_learning_rate": round(rate * BIAS_SHARE, 5),
        "optimizer.gradient_scale": BIAS_GRADIENT_SCALE,
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
