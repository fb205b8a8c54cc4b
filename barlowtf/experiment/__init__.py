"""From a request to a record: one file per command, and one function per file that reads top to bottom."""

from barlowtf.experiment.convert import ConvertRequest, convert
from barlowtf.experiment.data import DataDescription, PackedData, describe_data, pack_data
from barlowtf.experiment.embed import EmbedRequest, embed
from barlowtf.experiment.evaluating.evaluate import evaluate
from barlowtf.experiment.evaluating.recording import Request
from barlowtf.experiment.export import ExportRequest, explain_left_out, export
from barlowtf.experiment.plan import Plan, plan
from barlowtf.experiment.pretrain import PretrainRequest, pretrain
from barlowtf.experiment.report import ReportRequest, report

__all__ = [
    "ConvertRequest",
    "DataDescription",
    "EmbedRequest",
    "ExportRequest",
    "PackedData",
    "Plan",
    "PretrainRequest",
    "ReportRequest",
    "Request",
    "convert",
    "describe_data",
    "embed",
    "evaluate",
    "explain_left_out",
    "export",
    "pack_data",
    "plan",
    "pretrain",
    "report",
]
