"""Strategies, the processes of a cluster, and collectives that can be differentiated."""

from barlowtf.distribute.cluster import Cluster, cluster_of, is_chief, lost_workers
from barlowtf.distribute.collectives import all_gather, all_reduce_sum, replica_count, replica_index
from barlowtf.distribute.strategy import make_strategy
from barlowtf.distribute.surroundings import describe_machine, describe_surroundings, peak_memory_bytes

__all__ = [
    "Cluster",
    "all_gather",
    "all_reduce_sum",
    "cluster_of",
    "describe_machine",
    "describe_surroundings",
    "is_chief",
    "lost_workers",
    "make_strategy",
    "peak_memory_bytes",
    "replica_count",
    "replica_index",
]
