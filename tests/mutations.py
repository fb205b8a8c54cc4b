"""Seeded changes of files: of their bytes, and of the type of each field of a JSON object."""

import copy
import json
import random

# What may stand in the place of any value.
VALUES = (
    *(None, True, False, 0, 1, -1, 1.5, -0.5, 10**9, 10**25, 10**400, 1e308, -1e308, 5e-324),
    *(
        "",
        "x",
        "0",
        "1e999",
        "\x1b[31mred\x1b[0m",
        "a\nb",
        "a|b",
        '<i id="evil">',
        "../../etc/passwd",
        "x" * 9999,
    ),
    *([], {}, [None], [[]], {"": None}, {"a": {"b": {}}}, [1, "x", None]),
)
# What JSON itself cannot hold, or what Python's reader takes all the same.
TEXTS = ("NaN", "Infinity", "-Infinity", "1e999", "[" * 3000 + "]" * 3000, '"\\ud800"', "01", "'x'", "")


def changed_bytes(content, count, seed):
    """Yields copies of a file with a few bytes changed, left out, doubled, or cut off."""
    draw = random.Random(seed)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(changed) + 1) if changed else 0
            kind = draw.randrange(5)
            if kind == 0:
                changed[at : at + 1] = bytes([draw.randrange(256)])
            elif kind == 1:
                del changed[at : at + draw.randint(1, 40)]
            elif kind == 2:
                changed[at:at] = bytes(draw.choices(range(256), k=draw.randint(1, 8)))
            elif kind == 3:
                changed[at:at] = changed[at : at + draw.randint(1, 200)]
            else:
                del changed[at:]
        yield bytes(changed)


def changed_fields(value):
    """Yields (path, text): a JSON object with each of its values, at any depth, replaced, left out or doubled."""
    texts = [*map(json.dumps, VALUES), *TEXTS]
    mark = "a place"
    for path in list(_paths(value)):
        before, _, after = json.dumps(_replaced(value, path, mark)).partition(f'"{mark}"')
        for text in texts:
            yield path, before + text + after
        yield path, json.dumps(_without(value, path))
    yield ("unknown",), json.dumps({**value, "unknown": 1})


def _paths(value, above=()):
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*above, key)
        yield from _paths(part, (*above, key))


def _replaced(value, path, other):
    result = copy.deepcopy(value)
    place = result
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = other
    return result


def _without(value, path):
    result = copy.deepcopy(value)
    place = result
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return result
