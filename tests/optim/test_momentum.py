"""SGD as PyTorch's against the rule written out, with a rate that changes and two groups of parameters."""

import math
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.optim import EpochSchedule, MomentumSGD, WarmupSteps, epoch_rates


def test_steps_equal_the_rule():
    r = np.random.default_rng(0)
    start = {name: r.standard_normal(shape).astype(np.float32) for name, shape in (("w", (3, 2)), ("b", (2,)))}
    variables = {name: keras.Variable(value, name=name) for name, value in start.items()}
    rates, factor = (0.5, 0.5, 0.1, 0.1, 0.02), {"w": 0.25, "b": 1.0}
    optimizer = MomentumSGD(
        EpochSchedule((0.5, 0.1, 0.02), 2), momentum=0.9, weight_decay=0.01, factors={variables["w"].path: 0.25}
    )
    p = {name: value.astype(np.float64) for name, value in start.items()}
    buffers = {name: np.zeros_like(value) for name, value in p.items()}
    for rate in rates:
        gradients = {name: r.standard_normal(value.shape).astype(np.float32) for name, value in start.items()}
        optimizer.apply([tf.constant(gradients[name]) for name in variables], list(variables.values()))
        for name in p:
            buffers[name] = 0.9 * buffers[name] + gradients[name] + 0.01 * p[name]
            p[name] = p[name] - rate * factor[name] * buffers[name]
    for name, variable in variables.items():
        # float32 over five steps.
        np.testing.assert_allclose(variable.numpy(), p[name], rtol=1e-6, atol=1e-6)


def test_undecayed_variables_equal_a_group_of_pytorch():
    with warnings.catch_warnings():
        # Its import warns of its own surroundings.
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
    r = np.random.default_rng(1)
    start = {name: r.standard_normal(shape).astype(np.float32) for name, shape in (("kernel", (3, 2)), ("gamma", (2,)))}
    ours = {name: keras.Variable(value, name=name) for name, value in start.items()}
    theirs = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in start.items()}
    schedule = WarmupSteps(0.5, warmup_steps=2, drops=(4,), warmup_share=0.25)
    optimizer = MomentumSGD(schedule, momentum=0.9, weight_decay=0.1, undecayed=[ours["gamma"].path])
    groups = [{"params": [theirs["kernel"]], "weight_decay": 0.1}, {"params": [theirs["gamma"]], "weight_decay": 0.0}]
    other = torch.optim.SGD(groups, lr=0.5, momentum=0.9)
    for rate in (0.125, 0.3125, 0.5, 0.5, 0.05, 0.05):
        gradients = {name: r.standard_normal(value.shape).astype(np.float32) for name, value in start.items()}
        optimizer.apply([tf.constant(gradients[name]) for name in ours], list(ours.values()))
        for group in other.param_groups:
            group["lr"] = rate
        for name, parameter in theirs.items():
            parameter.grad = torch.from_numpy(gradients[name])
        other.step()
    for name, variable in ours.items():
        # float32 over six steps.
        np.testing.assert_allclose(variable.numpy(), theirs[name].detach().numpy(), rtol=1e-5, atol=1e-6)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config() and again.undecayed == (ours["gamma"].path,)


def test_rates_of_epochs():
    cosine = epoch_rates(0.3, epochs=100, schedule="cosine")
    assert len(cosine) == 100
    assert cosine[0] == 0.3
    assert cosine[50] == pytest.approx(0.15)
    assert cosine[99] == pytest.approx(0.15 * (1 + math.cos(0.99 * math.pi)))
    steps = epoch_rates(0.5, epochs=20, schedule="steps", drop_epochs=(12, 16), drop_factor=0.2)
    assert steps[11] == 0.5
    assert steps[12:16] == pytest.approx((0.1,) * 4)
    assert steps[16:] == pytest.approx((0.02,) * 4)


def test_config_round_trip():
    optimizer = MomentumSGD(EpochSchedule((0.1, 0.2), 3), momentum=0.5, weight_decay=0.25, factors={"a": 0.5})
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MomentumSGD(0.1, momentum=1.0), "Invalid momentum: received 1.0, expected"),
        (lambda: MomentumSGD(0.1, weight_decay=-1.0), "Invalid weight_decay: received -1.0, expected"),
        (lambda: EpochSchedule((), 1), "Invalid rates: received 0 and 1 steps per epoch, expected"),
        (lambda: EpochSchedule((0.1,), 0), "Invalid rates: received 1 and 0 steps per epoch, expected"),
        (lambda: epoch_rates(0.1, epochs=2, schedule="linear"), '"linear"'),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
