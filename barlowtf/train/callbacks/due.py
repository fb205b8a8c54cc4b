"""When something is due that happens every N steps."""

from typing import Any


def is_due(logs: dict[str, Any], every_steps: int) -> bool:
    """Returns whether the steps of the last call reached or passed a multiple of `every_steps`."""
    step = int(logs["step"])
    return step // every_steps > (step - int(logs["steps"])) // every_steps
