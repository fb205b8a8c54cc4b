"""Settings of the protocols: the published ones, overrides, and what is wrong with a wrong one."""

import pytest

from barlowtf.config.protocols import PROTOCOLS, find_all_settings, find_settings, split_overrides
from barlowtf.errors import ConfigError


def test_published_recipes():
    name, linear, changes = find_settings("linear", None, ())
    assert (name, changes) == ("repository", [])
    assert (linear.epochs, linear.batch_size, linear.learning_rate, linear.weight_decay) == (100, 256, 0.3, 1e-6)
    assert (linear.encoder_learning_rate, linear.schedule, linear.report) == (0.0, "cosine", "best")
    for name, rate, schedule, drops in (("repository", 0.005, "cosine", ()), ("paper", 0.002, "steps", (12, 16))):
        for protocol, fraction in (("semi1", 0.01), ("semi10", 0.1)):
            semi = PROTOCOLS[protocol].recipes[name]
            assert PROTOCOLS[protocol].fraction == fraction
            assert (semi.epochs, semi.batch_size, semi.learning_rate, semi.weight_decay) == (20, 256, 0.5, 0.0)
            assert (semi.encoder_learning_rate, semi.schedule, semi.drop_epochs) == (rate, schedule, drops)
    assert PROTOCOLS["semi1"].recipes["paper"].drop_factor == 0.2
    for name, epochs, drops in (("places205", 14, (4, 8, 12)), ("inat18", 84, (24, 48, 72))):
        (transfer,) = PROTOCOLS[name].recipes.values()
        assert (transfer.epochs, transfer.drop_epochs, transfer.drop_factor) == (epochs, drops, 0.1)
        assert (transfer.learning_rate, transfer.weight_decay) == (0.01, 5e-4)


def test_overrides_go_where_they_belong_and_are_told():
    chosen = split_overrides(["epochs=3", "semi1.flip=0.0", "neighbors=[5]"], ["linear", "semi1", "knn"])
    assert chosen == {"linear": ["epochs=3"], "semi1": ["epochs=3", "flip=0.0"], "knn": ["neighbors=[5]"]}
    _, settings, changes = find_settings("semi1", "paper", chosen["semi1"])
    assert (settings.epochs, settings.flip) == (3, 0.0)
    assert changes == ["epochs = 3 (recipe: 20)", "flip = 0.0 (recipe: 0.5)"]
    assert find_settings("knn", None, chosen["knn"])[1].neighbors == (5,)


@pytest.mark.parametrize(
    ("protocol", "recipe", "overrides", "message"),
    [
        ("linear", None, ["epochs=0"], "Invalid epochs: received 0, expected a number greater than or equal to 1"),
        ("linear", None, ["epoch=3"], "Unknown setting 'epoch'. Did you mean 'epochs'"),
        ("linear", None, ["area=[0.5,0.2]"], "area is a range"),
        ("linear", None, ["encoder_learning_rate=0.1"], 'report = "best" is for a frozen encoder'),
        ("linear", None, ["epochs"], "expected section.key=value"),
    ],
)
def test_bad_settings(protocol, recipe, overrides, message):
    with pytest.raises(ConfigError, match=message):
        find_settings(protocol, recipe, overrides)


def test_a_key_that_no_protocol_has():
    with pytest.raises(ConfigError, match="No setting 'epochs' in knn"):
        split_overrides(["epochs=3"], ["knn"])


def test_recipe_is_for_the_protocols_that_have_it():
    chosen = find_all_settings(["linear", "semi1", "knn"], "paper", ["semi1.epochs=3"])
    assert [chosen[name][0] for name in chosen] == ["repository", "paper", "barlowtf"]
    assert chosen["semi1"][1].epochs == 3
    assert find_all_settings(["semi10"], "small", ())["semi10"][1].flip == 0.0
    with pytest.raises(ConfigError, match="No recipe 'paper' for linear, knn. Expected one of repository, sm"):
        find_all_settings(["linear", "knn"], "paper", ())
