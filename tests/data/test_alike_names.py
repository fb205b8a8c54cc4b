"""Names of classes that are probably meant as one."""

import pytest

from barlowtf.data import alike_names, note_on_alike_names


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("caf\u00e9", "cafe\u0301"), r"'café' and 'cafe\u0301'"),
        (("dog", "dog "), "'dog' and 'dog '"),
        (("dog", "Dog", "\u00a0DOG"), r"'dog', 'Dog' and '\xa0DOG'"),
        (("hot dog", "hot  dog"), "'hot dog' and 'hot  dog'"),
        (("dog", "dog\u200b"), r"'dog' and 'dog\u200b'"),
        (("\uac00", "\u1100\u1161"), r"'가' and '\u1100\u1161'"),
        (("\uff11", "1"), r"'\uff11' and '1'"),
        (("1", "1.0", "01", "+1", "1."), "'1', '1.0', '01', '+1' and 1 more"),
        (("-1.50", "-1.5"), "'-1.50' and '-1.5'"),
        (("x" * 900, "x" * 900 + " "), "xx' and 'xx"),
        (("a\udc80", "A\udc80"), r"'a\udc80' and 'A\udc80'"),
    ],
)
def test_names_that_are_meant_as_one(names, shown):
    assert alike_names(["other", *names, "", *names]) == [names]
    note = note_on_alike_names(names)
    assert shown in note.replace("x" * 30, "").replace("...", "") if len(names[0]) > 99 else shown in note
    assert len(note) < 500 and "\n" not in note


@pytest.mark.parametrize(
    "names",
    [(), ("",), ("a", "b"), ("a_b", "a b"), ("10", "1"), ("1", "-1"), ("1.5", "1.05"), ("1.2.0", "1.2"), ("e", "é")],
)
def test_names_that_are_not(names):
    assert alike_names(names) == [] and note_on_alike_names(names) is None


def test_a_note_shows_some_of_many():
    note = note_on_alike_names(name for number in range(50) for name in (f"class{number}", f"Class{number}"))
    assert "'class0' and 'Class0'; 'class1' and 'Class1'; 'class2' and 'Class2'; and 47 more. They count" in note
