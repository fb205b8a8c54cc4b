"""Protocols that measure an encoder: what each computes from features, and how results are told."""

from barlowtf.evaluation.logistic import fit_logistic
from barlowtf.evaluation.results import Outcome, classification_outcome, dump_result, identity, not_comparable
from barlowtf.evaluation.tables import results_table
from barlowtf.evaluation.voc_svm import ClassResult, VocSvmResult, evaluate_voc_svm

__all__ = [
    "ClassResult",
    "Outcome",
    "VocSvmResult",
    "classification_outcome",
    "dump_result",
    "evaluate_voc_svm",
    "fit_logistic",
    "identity",
    "not_comparable",
    "results_table",
]
