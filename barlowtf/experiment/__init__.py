"""From a recipe to a result: one function a command.

Each file reads top to bottom.
"""

from barlowtf.experiment.convert import ConvertRequest, convert
from barlowtf.experiment.describing import describe_data, plan
from barlowtf.experiment.embed import EmbedRequest, embed
from barlowtf.experiment.evaluating.evaluate import evaluate
from barlowtf.experiment.evaluating.recording import Request
from barlowtf.experiment.export import ExportRequest, explain_left_out, export
from barlowtf.experiment.pretraining.run import pretrain
from barlowtf.experiment.reporting import write_report

__all__ = [
    "ConvertRequest",
    "EmbedRequest",
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
