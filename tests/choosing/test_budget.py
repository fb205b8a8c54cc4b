"""Times, and the epochs that fit into them."""

import pytest

from barlowtf.choosing import (
    affordable_epochs,
    default_budget,
    learns_enough,
    most_epochs,
    seconds_of,
)
from barlowtf.config.durations import format_time, parse_budget
from barlowtf.errors import ConfigError
from tests.choosing.situations import GPU, PROCESSOR


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("8h", 28800), ("1h30m", 5400), ("2d", 172800), ("0.5h", 1800)]
)
def test_a_time_is_read(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "1 h", "-1h", "0m", "1w", "1h30", "nan", "1e3s"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError, match="Invalid budget: received .*expected"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(45.4, "45 s"), (1200, "20 min"), (3600, "1 h"), (5400, "1 h 30 min"), (86400, "24 h")]
)
def test_a_time_is_shown(seconds, text):
    assert format_time(seconds) == text


def test_epochs_fit_into_the_time():
    for budget, step, per_epoch in ((3600, 0.4, 390), (1200, 0.25, 5), (600, 2.0, 40)):
        epochs = affordable_epochs(budget, step, per_epoch)
        assert seconds_of(epochs, step, per_epoch) <= budget < seconds_of(epochs + 1, step, per_epoch)
    assert affordable_epochs(20, 1.0, 10) == 0


def test_enough_is_a_number_of_views_or_of_epochs():
    assert not learns_enough(3, 50_000, 1)
    assert learns_enough(4, 50_000, 1)
    assert learns_enough(2, 50_000, 2)
    # Twenty images cannot be seen 200,000 times before the most epochs are reached: 50,000 each.
    assert most_epochs(20) == 50_000
    assert most_epochs(1_281_167) == 1000


def test_without_a_budget_an_hour_or_eight():
    assert (default_budget(PROCESSOR), default_budget(GPU)) == ("1h", "8h")
