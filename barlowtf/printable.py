"""Text from elsewhere as a terminal or a Markdown table may show it.

A name of a file, a class or a run may hold the characters that move a terminal's cursor, change its colors, reverse the
direction of writing or begin a table's next cell.
"""

import unicodedata

_KEPT = "\n\t"
# Python's own form of bytes that are not UTF-8 in a file's name.
_BYTES = range(0xDC80, 0xDD00)
_MARKDOWN = {"\\": "&#92;", "|": "\\|", "<": "&lt;", ">": "&gt;", "`": "\\`", "[": "\\[", "]": "\\]"}


def printable(text: str, *, keep: str = _KEPT) -> str:
    r"""Returns a text whose control and formatting characters are escapes: "\x1b" for the one that begins a color.

    Args:
        text: Any text.
        keep: Characters that stay as they are; line breaks and tabs by default.
    """
    if "".join(text.split("\n") if "\n" in keep else [text]).isprintable():
        return text
    return "".join(char if char in keep or _is_shown(char) else _escaped(char) for char in text)


def markdown_cell(text: str) -> str:
    """Returns a text as it is written in a cell of a Markdown table: one line, without markup or links of its own."""
    return printable("".join(_MARKDOWN.get(char, char) for char in " ".join(text.split())), keep="")


def _is_shown(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"


def _escaped(char: str) -> str:
    code = ord(char)
    if code in _BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()
