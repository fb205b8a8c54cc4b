"""Names from elsewhere on a terminal and in a table."""

import pytest

from barlowtf.printable import markdown_cell, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cats and dogs", "cats and dogs"),
        ("Größe 猫 🐈 1\u00a0000", "Größe 猫 🐈 1\u00a0000"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\rb\x08\x7f\x00\x9b", r"a\rb\x08\x7f\x00\x9b"),
        ("a\u202egpj.exe\u2066\u200f", r"a\u202egpj.exe\u2066\u200f"),
        ("a\u2028b\u2029\u0085", r"a\u2028b\u2029\x85"),
        ("na\udce4hm.jpg", r"na\xe4hm.jpg"),
        ("\ud800", r"\ud800"),
        ("two\nlines\tand a cell", "two\nlines\tand a cell"),
    ],
)
def test_control_and_formatting_characters_become_escapes(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_line_breaks_may_be_escaped_too():
    assert printable("a\nb\tc", keep="") == r"a\nb\tc"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("runs/my_run-2 (a*b)", "runs/my_run-2 (a*b)"),
        ("a|b", r"a\|b"),
        ("a\\|b", r"a&#92;\|b"),
        ("a\n| x |\n", r"a \| x \|"),
        ("<script>", "&lt;script&gt;"),
        ("![x](http://a)", r"!\[x\](http://a)"),
        ("`x`", r"\`x\`"),
        ("\x1b[31m", r"\x1b\[31m"),
    ],
)
def test_a_cell_holds_no_markup(text, cell):
    assert markdown_cell(text) == cell
