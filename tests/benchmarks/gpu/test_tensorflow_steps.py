"""The steps by TensorFlow itself, on the two halves of the CPU."""

import numpy as np
import pytest


@pytest.fixture
def steps(gpu, monkeypatch):
    steps, cases = gpu("tensorflow_steps"), gpu("cases")
    thin = cases.StepCase("resnet10_w0p0625", 16, 8, (16, 16), bfloat16=False)
    monkeypatch.setitem(cases.CASES, "thin", thin)
    monkeypatch.setattr(steps, "_CALLS", 2)
    return steps


def test_without_a_gpu_the_reason_is_one_line(steps):
    with pytest.raises(RuntimeError, match=r"\ATensorFlow finds no GPU\. Expected one: .*\Z"):
        steps.measure_all(["thin"], allow_cpu=False, small=False)


@pytest.mark.parametrize("way", ["no-xla", pytest.param("mirrored", marks=pytest.mark.slow)])
def test_a_way_is_measured(steps, way, two_replicas, monkeypatch):
    # One strategy for a whole process: a second one counts its collectives from the start again, and they meet.
    monkeypatch.setattr(steps.tf.distribute, "MirroredStrategy", lambda devices: two_replicas)
    measured = steps.measure("thin", way, small=False)
    assert measured["median_ms"] > 0 and measured["peak_gib"] is None
    assert np.isfinite(measured["last_loss"])
    assert measured["images_per_second"] == pytest.approx(8e3 / measured["median_ms"], rel=1e-2)
