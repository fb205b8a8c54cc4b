"""Losses: their table and contract, Barlow Twins, and the standardization of its embeddings."""

from barlowtf.losses.barlow_twins import LossTerms, barlow_twins_loss, cheaper_form
from barlowtf.losses.binding import BoundLoss, bind, bind_section, settle
from barlowtf.losses.contract import Loss, Parts, ViewEmbeddings, mean_over_pairs
from barlowtf.losses.standardize import standardize
from barlowtf.tables import LOSSES

__all__ = [
    "LOSSES",
    "BoundLoss",
    "Loss",
    "LossTerms",
    "Parts",
    "ViewEmbeddings",
    "barlow_twins_loss",
    "bind",
    "bind_section",
    "cheaper_form",
    "mean_over_pairs",
    "settle",
    "standardize",
]
