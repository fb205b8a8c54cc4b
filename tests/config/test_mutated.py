"""Recipes changed at random, by seeds that are kept: each loads, or one line says what is wrong."""

import copy
import random
import tomllib

import pytest

from barlowtf.config import dump_recipe, load_recipe, named_recipes, resolve
from barlowtf.errors import ConfigError

VALUES = [
    *(0, -1, 1, 2, 10**9, 2**63 - 1, -(2**63), 0.0, -0.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")),
    *(True, False, "", "none", "None", "x" * 2000, "\n", "\x1b[31m", "../..", "file.py:x", "os:system", "auto"),
    *([], [1], [1, 2], [1.0] * 1000, [-1, -1], ["a"], [[1]], {}, {"a": 1}),
    *("keras:", "resnet", "resnet18_w0", "resnet18_w1e9", "resnet99999", "vit_ti0", "vit_s999999"),
]
RECIPES = {name: tomllib.loads(dump_recipe(load_recipe(name))) for name in named_recipes()}


def places(table, above=()):
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from places(value, (*above, key))


def mutate(tables, numbers):
    """Changes the tables in place, and returns overrides."""
    overrides = []
    for _ in range(numbers.choice([1, 1, 1, 2, 3])):
        *above, key = numbers.choice(list(places(tables)))
        table = tables
        for name in above:
            table = table[name]
        value, kind = numbers.choice(VALUES), numbers.random()
        if kind < 0.6:
            table[key] = value
        elif kind < 0.7:
            del table[key]
        elif kind < 0.8:
            table[key + numbers.choice(["x", "_", "\n"])] = table.pop(key)
        else:
            text = value if isinstance(value, str) else repr(value).lower()
            overrides.append(".".join([*above, key]) + numbers.choice(["=", "", "==", ".x="]) + text)
    return overrides


def try_recipes(seed, count):
    """Tries mutated recipes; returns how many were refused, and the longest line that says why."""
    numbers, refused, longest = random.Random(seed), 0, 0
    for _ in range(count):
        tables = copy.deepcopy(numbers.choice(list(RECIPES.values())))
        overrides = mutate(tables, numbers)
        try:
            recipe = resolve(tables, overrides, "a recipe")
        except ConfigError as error:
            refused, longest = refused + 1, max(longest, len(str(error)))
            assert len(str(error)) < 500, overrides
            assert str(error).isprintable(), overrides
        else:
            # What loads can be saved, and is read back. As text, because NaN differs from itself.
            saved = dump_recipe(recipe)
            assert dump_recipe(resolve(tomllib.loads(saved), [], "saved")) == saved
    return refused, longest


@pytest.mark.parametrize("seed", range(5))
def test_each_mutated_recipe_loads_or_is_one_line(seed):
    refused, _ = try_recipes(seed, 400)
    assert 200 < refused < 400
