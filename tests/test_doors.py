"""The tables behind the open doors, and a user's own entries."""

import sys

import pytest

from barlowtf.doors import Table, is_own, load_own
from barlowtf.errors import ConfigError

TABLE = Table("format", {"json": ("json:dumps", "JSON text"), "toml": ("tomllib:loads", "TOML")})


def test_names_are_known_before_anything_is_imported():
    table = Table("loss", {"missing": ("no_such_module:thing", "never imported")})
    assert list(table) == ["missing"] and len(table) == 1 and "missing" in table
    assert table.summaries == {"missing": "never imported"}


def test_an_entry_is_opened_by_its_name():
    assert TABLE.open("json")({}) == "{}"


@pytest.mark.parametrize("spec", ["yaml", "jsn", "json:", ":dumps", "a b:c"])
def test_an_unknown_name_lists_what_there_is(spec):
    with pytest.raises(ConfigError, match=r"Unknown format: received .*expected one of json, toml"):
        TABLE.open(spec)


def test_own_entries_come_from_a_file_and_from_a_module(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("import json\nENTRY = [1]\n")
    monkeypatch.chdir(tmp_path)
    assert is_own("mine.py:ENTRY") and is_own("json:dumps") and not is_own("tfds:imagenet2012:5.1.0")
    first = TABLE.open("mine.py:ENTRY")
    assert first == [1]
    assert TABLE.open(str(tmp_path / "mine.py") + ":ENTRY") is first
    assert TABLE.open("json:loads")("3") == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("X = 1", "does not define 'ENTRY'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError"),
        ("import no_such_package_here", "ModuleNotFoundError"),
        (None, "there is no file"),
    ],
)
def test_an_own_entry_that_cannot_be_opened_is_one_line(tmp_path, content, message):
    path = tmp_path / f"broken_{abs(hash(message))}.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_own(f"{path}:ENTRY", "loss")
    assert "\n" not in str(caught.value)
    # A module that failed is not kept: it is imported again when it is mended.
    assert content == "X = 1" or not [name for name in sys.modules if name.startswith(f"barlowtf_own_{path.stem}")]
