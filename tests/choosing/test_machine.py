"""What a machine is said to offer."""

import os

from barlowtf.choosing import describe_machine
from barlowtf.choosing.machine import Machine


def test_this_machine():
    machine = describe_machine()
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert 10**8 < machine.memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert (machine.gpu_memory is None) or machine.gpus > 0


def test_a_machine_is_one_line():
    assert str(Machine(0, None, 2, 24 * 10**9, False)) == "2 cores, 24 GB, no GPU"
    assert str(Machine(2, 80 * 10**9, 16, 128 * 10**9, True)) == "16 cores, 128 GB, 2 GPUs of 80 GB"
