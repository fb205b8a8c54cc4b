"""From a request to a record: one file per command, and one function per file that reads top to bottom."""

from barlowtf.experiment.choose import ChooseRequest, ChosenRecipe, choose_recipe
from barlowtf.experiment.convert import ConvertRequest, convert
from barlowtf.experiment.data import DataDescription, PackedData, describe_data, explain_data, pack_data
from barlowtf.experiment.embed import EmbedRequest, embed
from barlowtf.experiment.evaluate import EvaluateRequest, evaluate, results_folder
from barlowtf.experiment.export import ExportRequest, explain_left_out, export
from barlowtf.experiment.plan import Plan, plan
from barlowtf.experiment.pretrain import PretrainRequest, pretrain
from barlowtf.experiment.report import ReportRequest, report
from barlowtf.experiment.starting import extended_recipe, with_origin

__all__ = [
    "ChooseRequest",
    "ChosenRecipe",
    "ConvertRequest",
    "DataDescription",
    "EmbedRequest",
    "EvaluateRequest",
    "ExportRequest",
    "PackedData",
    "Plan",
    "PretrainRequest",
    "ReportRequest",
    "choose_recipe",
    "convert",
    "describe_data",
    "embed",
    "evaluate",
    "explain_data",
    "explain_left_out",
    "export",
    "extended_recipe",
    "pack_data",
    "plan",
    "pretrain",
    "report",
    "results_folder",
    "with_origin",
]
