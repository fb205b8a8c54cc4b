"""From a recipe to a result: one function a command.

pretraining.py and evaluating.py read top to bottom; parts.py makes each part of a run from its section of the recipe.
"""

from barlowtf.experiment.converting import convert
from barlowtf.experiment.embedding import embed
from barlowtf.experiment.evaluating import evaluate
from barlowtf.experiment.exporting import ExportRequest, explain_left_out, export
from barlowtf.experiment.pretraining import describe_data, plan, pretrain
from barlowtf.experiment.recording import Request
from barlowtf.experiment.reporting import write_report

__all__ = [
    "ExportRequest",
    "Request",
    "convert",
    "describe_data",
    "embed",
    "evaluate",
    "explain_left_out",
    "export",
    "plan",
    "pretrain",
    "write_report",
]
