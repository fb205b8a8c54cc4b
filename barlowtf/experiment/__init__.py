"""From a recipe to a result: one function a command.

pretraining/run.py, evaluating/evaluate.py and exporting/export.py read top to bottom. The rooms are floors, too:
pretraining, encoders, evaluating, exporting; the files beside them use them all.
"""

from barlowtf.experiment.converting import convert
from barlowtf.experiment.describing import describe_data, plan
from barlowtf.experiment.embedding import embed
from barlowtf.experiment.evaluating.evaluate import evaluate
from barlowtf.experiment.evaluating.recording import Request
from barlowtf.experiment.exporting.export import ExportRequest, explain_left_out, export
from barlowtf.experiment.pretraining.run import pretrain
from barlowtf.experiment.report import ReportRequest, report

__all__ = [
    "ExportRequest",
    "ReportRequest",
    "Request",
    "convert",
    "describe_data",
    "embed",
    "evaluate",
    "explain_left_out",
    "export",
    "plan",
    "pretrain",
    "report",
]
