"""What may be tried for a setting."""

import json

import pytest

from barlowtf.config import load_recipe
from barlowtf.config.search_space import Choices, Range, default_space, parse_space
from barlowtf.errors import ConfigError


def test_default_is_around_the_recipe():
    recipe = load_recipe("cifar10-cpu", ["loss.lambd=0.0051"])
    space = default_space(recipe)
    rate = space["optimizer.learning_rate"]
    assert (rate.low, rate.high, rate.log) == (0.001, 0.064, True)
    assert space["loss.lambd"] == Range(0.001, 0.05, log=True, whole=False)
    assert [json.loads(value) for value in space["model.projector"].values] == [[256] * 3, [1024] * 3, [4096] * 3]
    assert json.dumps([0.2, 1.0]) in space["augment.area"].values
    for key, domain in space.items():
        for value in domain.values if isinstance(domain, Choices) else (domain.low, domain.high):
            load_recipe("cifar10-cpu", [f"{key}={value}"])


def test_losses_without_lambd_have_none():
    assert "loss.lambd" not in default_space(load_recipe("digits", ["loss.name=simclr"]))


def test_forms():
    texts = [
        "optimizer.learning_rate=1e-3:0.1:log",
        "train.batch_size=32:64",
        "model.projector=[8,8]|[16]",
        "model.stem=small|half",
    ]
    assert parse_space(texts, load_recipe("digits")) == {
        "optimizer.learning_rate": Range(0.001, 0.1, log=True, whole=False),
        "train.batch_size": Range(32, 64, log=False, whole=True),
        "model.projector": Choices(("[8, 8]", "[16]")),
        "model.stem": Choices(('"small"', '"half"')),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer.lr=1:2", "no setting 'optimizer.lr'"),
        ("train.epochs=5", "expected KEY=LOW:HIGH"),
        ("train.epochs=9:5", "expected KEY=LOW:HIGH"),
        ("train.epochs=5:9:square", "expected KEY=LOW:HIGH"),
        ("optimizer.learning_rate=0:1:log", "numbers above 0"),
        ("optimizer.learning_rate=nan:1", "expected KEY=LOW:HIGH"),
        ("train.epochs", "expected section.key=value"),
    ],
)
def test_wrong_ones(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_space([text], load_recipe("digits"))
    assert message in str(caught.value)
