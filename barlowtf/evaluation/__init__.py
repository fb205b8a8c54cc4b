"""Protocols that measure an encoder: the contract, one file per protocol, their mathematics, the table of results."""

from barlowtf.config.section import Section
from barlowtf.evaluation.classification import TOP1, TOP5, classification_outcome
from barlowtf.evaluation.contract import Fit, Outcome, Protocol, Splits, Task
from barlowtf.evaluation.feature_store import FeatureStore
from barlowtf.evaluation.fitting import fitting_protocol, fitting_variant, plan_judgement
from barlowtf.evaluation.labeled_splits import LabeledSplits, open_labeled
from barlowtf.evaluation.logistic import fit_logistic
from barlowtf.evaluation.multi_label_splits import MultiLabelSplits, open_multi_label_splits
from barlowtf.evaluation.object_splits import ObjectSplits, open_object_splits
from barlowtf.evaluation.published import Published
from barlowtf.evaluation.tables import results_table
from barlowtf.evaluation.variants import Chosen, choose_variant, choose_variants, open_protocol
from barlowtf.evaluation.voc_svm import ClassResult, VocSvmResult, evaluate_voc_svm
from barlowtf.records import Measure
from barlowtf.tables import PROTOCOLS

__all__ = [
    "PROTOCOLS",
    "TOP1",
    "TOP5",
    "Chosen",
    "ClassResult",
    "FeatureStore",
    "Fit",
    "LabeledSplits",
    "Measure",
    "MultiLabelSplits",
    "ObjectSplits",
    "Outcome",
    "Protocol",
    "Published",
    "Section",
    "Splits",
    "Task",
    "VocSvmResult",
    "choose_variant",
    "choose_variants",
    "classification_outcome",
    "evaluate_voc_svm",
    "fit_logistic",
    "fitting_protocol",
    "fitting_variant",
    "open_labeled",
    "open_multi_label_splits",
    "open_object_splits",
    "open_protocol",
    "plan_judgement",
    "results_table",
]
