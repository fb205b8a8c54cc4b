"""Shared by all tests: quiet TensorFlow, two logical CPU devices, and where the recorded numbers lie."""

import gc
import os
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# Graphs are millions of objects, which the usual thresholds walk through again and again.
gc.set_threshold(200_000, 20, 20)


# Files of slow tests that take minutes, the longest first. Two processes take file after file: the long ones have to
# begin early for both to end together.
_LONG_FILES = (
    "test_pretrain_workers.py",
    "test_starting.py",
    "test_encoder_families.py",
    "test_pretrain_interruption.py",
    "test_pretrain.py",
    "test_export.py",
    "test_pretrain_views.py",
    "test_barlow_twins.py",
    "test_extending.py",
    "test_choose.py",
    "test_examples.py",
)


def pytest_collection_modifyitems(items):
    """Puts the tests of long files first."""
    ranks = {name: rank for rank, name in enumerate(_LONG_FILES)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


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


@pytest.fixture(scope="session")
def formula_tensor():
    """Function (name, shape, salt): the float32 array that the golden README's formula gives a PyTorch tensor."""

    def tensor(name, shape, salt):
        r = np.random.default_rng([zlib.crc32(name.encode()), salt])
        if name.endswith("running_mean"):
            value = 0.1 * r.standard_normal(shape)
        elif name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            value = r.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            value = 0.1 * r.standard_normal(shape)
        else:
            value = np.sqrt(2 / (shape[0] * np.prod(shape[2:]))) * r.standard_normal(shape)
        return value.astype(np.float32)

    return tensor
