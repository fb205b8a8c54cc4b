"""The Barlow Twins loss and the standardization of its embeddings."""

from barlowtf.losses.barlow_twins import LossTerms, barlow_twins_loss, cheaper_form
from barlowtf.losses.standardize import standardize

__all__ = ["LossTerms", "barlow_twins_loss", "cheaper_form", "standardize"]
