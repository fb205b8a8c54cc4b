"""Labels as their owner writes them, texts or numbers, and the numbers 0 to K - 1 that stand for them here."""

from collections.abc import Iterable


def number_classes(labels: Iterable[str | int]) -> tuple[tuple[str, ...], dict[str | int, int]]:
    """Returns the names of the classes, and the number of each label.

    Args:
        labels: Labels of all examples, in any order. Where all are whole numbers, also as texts, their classes are
            sorted as numbers, else as texts.

    Returns:
        K names, and label -> number in [0, K).
    """
    distinct = {int(label) if _is_number(label) else label for label in labels}
    numeric = all(isinstance(label, int) for label in distinct)
    order = sorted(distinct, key=int) if numeric else sorted(distinct, key=str)
    names = tuple(str(label) for label in order)
    number: dict[str | int, int] = {label: place for place, label in enumerate(order)}
    return names, number | {name: place for place, name in enumerate(names)}


def _is_number(label: str | int) -> bool:
    text = str(label)
    # "007" is a name, 7 a number.
    return text.removeprefix("-").isdecimal() and str(int(text)) == text
