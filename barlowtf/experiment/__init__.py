"""From a recipe to a result: one function a command.

pretraining/run.py, evaluate.py and exporting/export.py read top to bottom.
"""

from barlowtf.experiment.converting import convert
from barlowtf.experiment.describing import describe_data, plan
from barlowtf.experiment.embedding import embed
from barlowtf.experiment.evaluate import EvaluateRequest, evaluate, results_folder
from barlowtf.experiment.exporting.export import ExportRequest, explain_left_out, export
from barlowtf.experiment.pretraining.run import pretrain
from barlowtf.experiment.reporting import write_report

__all__ = [
    "EvaluateRequest",
    "ExportRequest",
    "convert",
    "describe_data",
    "embed",
    "evaluate",
    "explain_left_out",
    "export",
    "plan",
    "pretrain",
    "results_folder",
    "write_report",
]
