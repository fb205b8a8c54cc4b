"""Where a process runs: the facts that every record holds beside its result."""

import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import tensorflow as tf

from barlowtf.records import Machine, Surroundings

_PACKAGES = ("barlowtf", "tensorflow", "keras", "numpy", "scikit-learn", "pillow")


def describe_surroundings(strategy: tf.distribute.Strategy) -> Surroundings:
    """Returns command, versions, machine, devices and source commit of this process."""
    return Surroundings(
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        versions={"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}},
        machine=describe_machine(),
        devices=tuple(_device_name(device) for device in tf.config.list_physical_devices()),
        replicas=strategy.num_replicas_in_sync,
        git_commit=_git_commit(),
    )


def describe_machine() -> Machine:
    """Returns processor, cores and system of this computer."""
    return Machine(processor=_processor(), cores=os.cpu_count(), system=platform.platform())


def peak_memory_bytes() -> int:
    """Returns the largest resident memory that this process has had, bytes (on the host)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    """Returns the model name of the processor where the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _device_name(device: tf.config.PhysicalDevice) -> str:
    details = tf.config.experimental.get_device_details(device) if device.device_type == "GPU" else {}
    return str(details.get("device_name", device.device_type))


def _git_commit() -> str | None:
    """Returns the commit of the source, with "+" when files differ from it; None for an installed package."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        # A site-packages folder may lie inside somebody else's repository, which says nothing about this source.
        if not git("ls-files", Path(__file__).name):
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
