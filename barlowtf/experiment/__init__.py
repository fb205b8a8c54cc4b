"""From a recipe to a result: one function a command.

pretraining.py reads top to bottom; parts.py makes each part from its section of the recipe.
"""

from barlowtf.experiment.pretraining import describe_data, plan, pretrain

__all__ = ["describe_data", "plan", "pretrain"]
