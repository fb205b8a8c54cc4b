"""From a request to a record: one file per command, and one function per file that reads top to bottom."""

from barlowtf.experiment.ablate import AblateRequest, ablate
from barlowtf.experiment.check_data import CheckRequest, check_data, explain_check
from barlowtf.experiment.choose import ChooseRequest, ChosenRecipe, choose_recipe
from barlowtf.experiment.convert import ConvertRequest, convert
from barlowtf.experiment.data import DataDescription, PackedData, describe_data, explain_data, pack_data
from barlowtf.experiment.data_records import CheckedSplit, DataCheck, ImageGroup
from barlowtf.experiment.doctor import Health, diagnose, explain_health
from barlowtf.experiment.drift import DriftRequest, drift
from barlowtf.experiment.embed import EmbedRequest, embed
from barlowtf.experiment.evaluate import EvaluateRequest, evaluate, results_folder
from barlowtf.experiment.export import ExportRequest, explain_left_out, export
from barlowtf.experiment.plan import Plan, plan
from barlowtf.experiment.predict import PredictRequest, predict
from barlowtf.experiment.pretrain import PretrainRequest, pretrain
from barlowtf.experiment.report import ReportRequest, report
from barlowtf.experiment.search import SearchRequest, search
from barlowtf.experiment.starting import extended_recipe, with_origin
from barlowtf.experiment.tune import TuneRequest, tune

__all__ = [
    "AblateRequest",
    "CheckRequest",
    "CheckedSplit",
    "ChooseRequest",
    "ChosenRecipe",
    "ConvertRequest",
    "DataCheck",
    "DataDescription",
    "DriftRequest",
    "EmbedRequest",
    "EvaluateRequest",
    "ExportRequest",
    "Health",
    "ImageGroup",
    "PackedData",
    "Plan",
    "PredictRequest",
    "PretrainRequest",
    "ReportRequest",
    "ablate",
    "check_data",
    "SearchRequest",
    "TuneRequest",
    "choose_recipe",
    "convert",
    "describe_data",
    "diagnose",
    "drift",
    "embed",
    "evaluate",
    "explain_check",
    "explain_data",
    "explain_health",
    "explain_left_out",
    "export",
    "extended_recipe",
    "pack_data",
    "plan",
    "predict",
    "pretrain",
    "report",
    "results_folder",
    "search",
    "tune",
    "with_origin",
]
