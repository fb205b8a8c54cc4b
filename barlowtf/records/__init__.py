"""What lies on disk, as types: run.json, results, records of exports, manifests of features. No TensorFlow here."""

from barlowtf.records.checkpoint_manifest import CheckpointManifest, FileDigest
from barlowtf.records.convert_record import ConvertedEncoder, ConvertRecord, RecordedComparison
from barlowtf.records.drift_record import ComparedFeatures, DriftMeasure, DriftRecord, FarImage
from barlowtf.records.embed_manifest import EmbeddedData, EmbedManifest
from barlowtf.records.encoder_facts import EncoderFacts
from barlowtf.records.export_record import ComparedImages, ExportRecord, FileFigures, HeadFacts
from barlowtf.records.files import Record, append_line, read_lines, read_metrics, read_record, write_record
from barlowtf.records.finding import Finding, harms, worst_first
from barlowtf.records.prediction_record import BankFacts, PredictionRecord
from barlowtf.records.report_summary import ReportedRun, ReportSummary
from barlowtf.records.result import DataFacts, Measure, Result, Subset, read_result, read_results, write_result
from barlowtf.records.run_info import RunBest, RunData, RunInfo, RunInit, RunParent, RunResult, RunSteps, RunVerdict
from barlowtf.records.search_record import Match, QueryMatches, SearchRecord
from barlowtf.records.skipped_image import SkippedImage
from barlowtf.records.surroundings import Machine, Surroundings
from barlowtf.records.verdict import judge

__all__ = [
    "BankFacts",
    "CheckpointManifest",
    "ComparedFeatures",
    "ComparedImages",
    "ConvertRecord",
    "ConvertedEncoder",
    "DataFacts",
    "DriftMeasure",
    "DriftRecord",
    "EmbedManifest",
    "EmbeddedData",
    "EncoderFacts",
    "ExportRecord",
    "FarImage",
    "FileDigest",
    "FileFigures",
    "Finding",
    "HeadFacts",
    "Machine",
    "Match",
    "Measure",
    "PredictionRecord",
    "QueryMatches",
    "Record",
    "RecordedComparison",
    "ReportSummary",
    "ReportedRun",
    "Result",
    "RunBest",
    "RunData",
    "RunInfo",
    "RunInit",
    "RunParent",
    "RunResult",
    "RunSteps",
    "RunVerdict",
    "SearchRecord",
    "SkippedImage",
    "Subset",
    "Surroundings",
    "append_line",
    "judge",
    "harms",
    "read_lines",
    "read_metrics",
    "read_record",
    "read_result",
    "read_results",
    "worst_first",
    "write_record",
    "write_result",
]
