"""What this machine offers to a training run."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

# A processor with one of these multiplies bfloat16 matrices about twice as fast as float32 ones.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
# First NVIDIA generation with bfloat16 tensor cores: Ampere.
_BFLOAT16_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Machine:
    """Devices and memory of one machine.

    Attributes:
        gpus: Number of GPUs.
        gpu_memory: Memory of the smallest of them, bytes; None where there is none or the driver does not report it.
        cores: Number of processor cores that this process may use.
        memory: Main memory that this process may use, bytes.
        bfloat16: Whether bfloat16 is faster than float32 on the devices that train.
    """

    gpus: int
    gpu_memory: int | None
    cores: int
    memory: int
    bfloat16: bool

    def __str__(self) -> str:
        """Returns one line: "2 cores, 24 GB, no GPU"."""
        memory = "" if self.gpu_memory is None else f" of {self.gpu_memory / 1e9:.0f} GB"
        gpus = "no GPU" if not self.gpus else f"{self.gpus} GPU{'s' if self.gpus > 1 else ''}{memory}"
        return f"{self.cores} cores, {self.memory / 1e9:.0f} GB, {gpus}"


def describe_machine() -> Machine:
    """Returns what this machine offers."""
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    if gpus:
        bfloat16 = all(detail.get("compute_capability", (0, 0)) >= _BFLOAT16_CAPABILITY for detail in details)
    else:
        bfloat16 = bool(_BFLOAT16_FLAGS & _processor_flags())
    # TensorFlow has no public function for the memory of a GPU.
    memories = _gpu_memories() if gpus else []
    return Machine(
        gpus=len(gpus),
        gpu_memory=min(memories) if memories else None,
        cores=_cores(),
        memory=_memory(),
        bfloat16=bfloat16,
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> int:
    """Returns the machine's memory, or the limit of this process' control group where that is lower."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    for limit in limits:
        try:
            return min(total, int(limit.read_text(encoding="ascii")))
        except (OSError, ValueError):  # No such file, or "max".
            continue
    return total


def _gpu_memories() -> list[int]:
    """Returns the memory of each GPU, bytes, as the driver's own program reports it; empty where it does not."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.split()
        return [int(line) * 2**20 for line in lines]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def _processor_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
