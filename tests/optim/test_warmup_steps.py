"""A rate that rises and drops, against hand-worked numbers and PyTorch's formula."""

import bisect

import keras
import pytest

from barlowtf.optim import WarmupSteps


def test_hand_worked_rates():
    rate = WarmupSteps(0.2, warmup_steps=4, drops=(10, 12), factor=0.1, warmup_share=0.25)
    expected = {0: 0.05, 1: 0.0875, 2: 0.125, 3: 0.1625, 4: 0.2, 9: 0.2, 10: 0.02, 11: 0.02, 12: 0.002, 100: 0.002}
    # float32.
    assert {step: float(rate(step)) for step in expected} == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("drops", [(), (5,), (3, 5, 5, 20)])
def test_equals_the_formula_of_detectron2(warmup, drops):
    rate = WarmupSteps(0.1, warmup_steps=warmup, drops=drops, factor=0.5, warmup_share=0.01)
    for step in range(25):
        alpha = min(step / warmup, 1.0) if warmup else 1.0
        expected = 0.1 * (0.01 * (1 - alpha) + alpha) * 0.5 ** bisect.bisect_right(drops, step)
        assert float(rate(step)) == pytest.approx(expected, rel=1e-6)


def test_config_round_trip():
    rate = WarmupSteps(0.1, warmup_steps=3, drops=(5, 9), factor=0.2, warmup_share=0.5)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate))
    assert again.get_config() == rate.get_config()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0.0}, "received rate 0.0"),
        ({"rate": float("nan")}, "received rate nan"),
        ({"warmup_steps": -1}, "warmup_steps -1"),
        ({"factor": 0.0}, "factor 0.0"),
        ({"warmup_share": 1.5}, "warmup_share 1.5, expected"),
        ({"drops": (5, 3)}, r"Invalid drops: received \[5, 3\], expected"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        WarmupSteps(**{"rate": 0.1, "warmup_steps": 1, **change})
