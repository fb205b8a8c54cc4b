"""Protocols that measure an encoder: what each computes from features, and how results are told."""

from barlowtf.evaluation.logistic import fit_logistic
from barlowtf.evaluation.results import Outcome, classification_outcome, dump_result, identity, not_comparable
from barlowtf.evaluation.tables import results_table

__all__ = [
    "Outcome",
    "classification_outcome",
    "dump_result",
    "fit_logistic",
    "identity",
    "not_comparable",
    "results_table",
]
