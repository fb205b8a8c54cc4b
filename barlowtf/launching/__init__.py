"""Processes of this machine: the workers of a rehearsed cluster, and jobs beside each other. No TensorFlow here."""

from barlowtf.launching.jobs import TETHERED, EndedJob, Job, run_jobs, start_command
from barlowtf.launching.signals import signals_as_events
from barlowtf.launching.slots import share_of_machine
from barlowtf.launching.workers import cluster_configs, free_ports, run_workers

# Name of a strategy -> the devices that it uses; see `barlowtf.distribute.make_strategy`.
STRATEGIES = {
    "one": "one device, a GPU where there is one",
    "mirrored": "all GPUs of this machine",
    "multiworker": "all workers that TF_CONFIG or a SLURM step names",
    "tpu": "all cores of a TPU",
}

__all__ = [
    "STRATEGIES",
    "TETHERED",
    "EndedJob",
    "Job",
    "cluster_configs",
    "free_ports",
    "run_jobs",
    "run_workers",
    "share_of_machine",
    "signals_as_events",
    "start_command",
]
