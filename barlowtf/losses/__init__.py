"""Losses: their table and contract, Barlow Twins, and the standardization of its embeddings."""

from barlowtf.losses.barlow_twins import LossTerms, barlow_twins_loss
from barlowtf.losses.binding import BoundLoss, bind, bind_section, settle
from barlowtf.losses.contract import Loss, Mixture, Parts, ViewEmbeddings, mean_over_pairs
from barlowtf.losses.squares import cheaper_form
from barlowtf.losses.standardize import standardize
from barlowtf.tables import LOSSES

__all__ = [
    "LOSSES",
    "BoundLoss",
    "Loss",
    "LossTerms",
    "Mixture",
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
