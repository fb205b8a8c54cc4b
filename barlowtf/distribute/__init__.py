"""Strategies, and collectives that can be differentiated."""

from barlowtf.distribute.collectives import all_gather, all_reduce_sum, replica_count, replica_index
from barlowtf.distribute.strategy import make_strategy

__all__ = ["all_gather", "all_reduce_sum", "make_strategy", "replica_count", "replica_index"]
