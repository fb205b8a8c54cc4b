"""A run that is slower than it was timed says so, once."""

import logging
import time

import pytest

from barlowtf.train import callbacks


@pytest.fixture
def clock(monkeypatch):
    """Seconds that each step takes, in a list of one number."""
    seconds, now = [1.0], [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def steps(pace, count):
        for _ in range(count):
            pace.on_train_batch_begin(0)
            now[0] += seconds[0]
            pace.on_train_batch_end(0, {"steps": 1})

    return seconds, steps


@pytest.mark.parametrize(("taken", "told"), [(1.0, 0), (1.4, 0), (3.0, 1)])
def test_slow_steps_are_told_once(clock, caplog, taken, told):
    seconds, steps = clock
    pace = callbacks.Pace(1.0, total_steps=240)
    pace.on_train_begin()
    # The first step compiles.
    seconds[0] = 500.0
    steps(pace, 1)
    seconds[0] = taken
    with caplog.at_level(logging.WARNING, "barlowtf"):
        steps(pace, 19)
        assert not caplog.messages
        steps(pace, 100)
    assert len(caplog.messages) == told
    if told:
        assert "takes 3 s, not 1 s as it was timed: all steps will take about 12 min, not 4 min" in caplog.text


def test_a_few_seconds_say_nothing(clock, caplog):
    seconds, steps = clock
    pace = callbacks.Pace(0.01, total_steps=240)
    pace.on_train_begin()
    seconds[0] = 0.1
    steps(pace, 200)
    assert not caplog.messages
