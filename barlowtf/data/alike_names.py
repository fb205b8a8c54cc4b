"""Names of classes that are probably meant as one: "dog" and "Dog ", "1" and "1.0", one é and e with an accent."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

# Groups, names of each and letters of a name that a note shows.
_GROUPS, _NAMES, _LETTERS = 3, 4, 60
# Spaces of no width, which Python does not count as spaces.
_NO_WIDTH = str.maketrans("", "", "\u200b\u2060\ufeff")
_NUMBER = re.compile(r"([-+]?)0*([0-9]+)(?:\.([0-9]*))?", re.ASCII)


def alike_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Returns the groups of names that differ only in case, spaces, Unicode form or how a number is written.

    Takes time by the number of names.

    Args:
        names: Names of classes; "" stands for none.

    Returns:
        Groups of two names or more, in the order of their first names; each name once.
    """
    distinct = [name for name in dict.fromkeys(names) if name]
    essences = [_essence(name) for name in distinct]
    if len(set(essences)) == len(essences):
        return []
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name, essence in zip(distinct, essences, strict=True):
        groups[essence].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def note_on_alike_names(names: Iterable[str]) -> str | None:
    """Returns one line on classes that are probably meant as one; None: there are none.

    Args:
        names: See `alike_names`.
    """
    groups = alike_names(names)
    if not groups:
        return None
    more = f"; and {len(groups) - _GROUPS:,} more" if len(groups) > _GROUPS else ""
    return (
        "Classes whose names differ only in case, spaces, Unicode form or how a number is written: "
        f"{'; '.join(map(explain_alike, groups[:_GROUPS]))}{more}. They count as different classes; rename them where "
        "they are one."
    )


def explain_alike(group: Sequence[str]) -> str:
    """Returns "'dog' and 'dog '": names in quotes, with escapes where a name alone does not show how it is written."""
    shown = [_show(name) for name in group[:_NAMES]]
    if len(group) > _NAMES:
        return f"{', '.join(shown)} and {len(group) - _NAMES:,} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _essence(name: str) -> str:
    """Returns what is equal of two names that are alike."""
    text = name if name.isascii() else unicodedata.normalize("NFKC", name).translate(_NO_WIDTH)
    text = "".join(text.casefold().split())
    if text[:1].isalpha() and text.isascii():
        return text
    if not text.isascii():
        # Other case may be another form.
        text = unicodedata.normalize("NFKC", text)
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    sign, whole, part = number[1].replace("+", ""), number[2], (number[3] or "").rstrip("0")
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"


def _show(name: str) -> str:
    """Returns a name in quotes; in ASCII where its letters may be written in another way, too."""
    text = repr(name) if unicodedata.is_normalized("NFKC", name) else ascii(name)
    if len(text) > _LETTERS:
        # Both ends: names often differ in the last letter.
        return f"{text[: _LETTERS * 2 // 3]}...{text[-_LETTERS // 3 :]}"
    return text
