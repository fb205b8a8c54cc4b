"""Shared by all tests: quiet TensorFlow, two logical CPU devices, and where the recorded numbers lie."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def pytest_collection_finish():
    """Splits the CPU in two before the first test: TensorFlow cannot do it once it has started.

    Single-device tests run on the first device, at the same speed: both share one pool of threads. Without TensorFlow
    among the collected modules there is nothing to split, and the command line's tests start at once.
    """
    tf = sys.modules.get("tensorflow")
    if tf is not None:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session")
def two_replicas():
    """Mirrored strategy of two replicas on the CPU, for test modules that import TensorFlow at their head."""
    from barlowtf.distribute import make_strategy

    return make_strategy("mirrored", replicas=2)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the numbers recorded from the authors' code; see its README."""
    return Path(__file__).parent / "golden"
