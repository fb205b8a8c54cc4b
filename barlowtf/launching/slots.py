"""What each of several processes at a time has of the machine."""

import os
from collections.abc import Callable, Mapping


def share_of_machine(slots: int, gpus: int) -> Callable[[int], Mapping[str, str]]:
    """Returns what gives the environment variables of a slot: its GPU, or its share of the cores.

    Args:
        slots: Processes at a time, >= 1.
        gpus: Number of GPUs, >= 0; they are dealt out in turn.
    """
    cores = max((os.cpu_count() or 1) // slots, 1)

    def of_slot(slot: int) -> Mapping[str, str]:
        if gpus:
            return {"CUDA_VISIBLE_DEVICES": str(slot % gpus), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        return {} if slots == 1 else {"TF_NUM_INTRAOP_THREADS": str(cores), "OMP_NUM_THREADS": str(cores)}

    return of_slot
