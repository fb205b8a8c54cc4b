"""The library's learning rate schedule, in NumPy: linear warm-up, then half a cosine."""

import math
from typing import Any

import numpy as np

# Warm-up takes at most this share of a run: a short run cannot give the ten epochs of a long one.
_LARGEST_WARMUP_SHARE = 0.1


def fitted(settings: dict[str, Any], *, epochs: int, steps_per_epoch: int) -> dict[str, Any]:
    """Returns the settings of a schedule for a run of another length.

    Args:
        settings: Those of the library's `WarmupCosine`.
        epochs: Length of the run, >= 1.
        steps_per_epoch: >= 1.
    """
    warmup = min(settings["warmup_epochs"], _LARGEST_WARMUP_SHARE * epochs)
    return {**settings, "epochs": epochs, "steps_per_epoch": steps_per_epoch, "warmup_epochs": warmup}


def rate(settings: dict[str, Any], step: int) -> np.float32:
    """Returns the learning rate after `step` steps.

    Letters: W steps of warm-up, T steps in all. Below W: peak * step / W. From W on, with
    q = (1 + cos(pi * (step - W) / (T - W))) / 2: peak * (q + final_scale * (1 - q)).
    """
    peak = settings["base_rate"] * settings["batch_size"] / 256
    warmup = settings["warmup_epochs"] * settings["steps_per_epoch"]
    if step < warmup:
        return np.float32(peak * step / warmup)
    decay = settings["epochs"] * settings["steps_per_epoch"] - warmup
    q = (1.0 + math.cos(math.pi * min((step - warmup) / decay, 1.0))) / 2.0
    return np.float32(peak * (q + settings["final_scale"] * (1.0 - q)))
