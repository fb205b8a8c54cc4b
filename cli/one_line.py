"""An error as one line that a terminal can show."""

from barlowtf.printable import printable

# Of a long word, which is a user's input, beginning and end; of a line, which click has made of it, too.
_WORD = (80, 40)
_LINE = (300, 150)


def one_line(text: str) -> str:
    """Returns a text without line breaks, its control characters escaped, its longest words shortened."""
    words = printable(" ".join(text.split()), keep="").split(" ")
    return " ".join(_shortened(word, *_WORD) for word in words)


def short_line(text: str) -> str:
    """Returns a text as one line of at most 453 characters."""
    return _shortened(one_line(text), *_LINE)


def _shortened(text: str, first: int, last: int) -> str:
    return text if len(text) <= first + last else f"{text[:first]}...{text[-last:]}"
