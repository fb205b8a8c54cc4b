import dataclasses

import numpy as np
import pytest
from PIL import Image

from barlowtf.report.results import describe_results
from barlowtf.runs import RunFolder
from tests.result_records import make_encoder_facts, make_result


def test_controls_stand_beside_the_trained_encoder(make_run):
    first = [make_result("random", top1=0.2), *(make_result(seed=s, top1=0.5 + s / 10) for s in (1, 0))]
    second = [make_result(top1=0.9), make_result("pixels", top1=0.3)]
    (group,) = describe_results([make_run("a", results=first), make_run("second", results=second)])
    assert [(row.name, row.seeds) for row in group.rows] == [
        ("a, trained", [0, 1]),
        ("a, random", [0]),
        ("runs/a", [0]),
        ("second, pixels", [0]),
    ]
    assert [row.scores["top1"].mean for row in group.rows] == pytest.approx([0.55, 0.2, 0.9, 0.3])
    assert [row.texts["top1"] for row in group.rows] == ["50.0, 60.0", "20.0", "90.0", "30.0"]
    assert [measure.title for measure in group.measures] == ["top-1"]


def test_an_encoder_beside_the_run_s_own_has_a_row_of_its_own(make_run):
    """`barlowtf evaluate --encoder runs/a --encoder runs/b` leaves all results in the folder of the first."""
    results = [
        make_result(top1=top1, per_class=(top1,), encoder=make_encoder_facts(name, sha256=name))
        for name, top1 in (("runs/b", 0.9), ("runs/a", 0.5))
    ]
    (group,) = describe_results([make_run("a", results=results)])
    assert [(row.name, row.scores["top1"].mean, len(row.scores["top1"].values)) for row in group.rows] == [
        ("a, trained", 0.5, 1),
        ("runs/b", 0.9, 1),
    ]
    assert group.class_bars[0].bars == [("0", [0.5])]


def test_what_may_not_be_compared_stands_apart(make_run):
    results = [make_result(), make_result(seed=1, variant="paper")]
    assert [group.variant for group in describe_results([make_run(results=results)])] == ["paper", "repository"]


def test_class_bars_average_over_seeds_and_leave_out_the_middle(make_run):
    results = [make_result(per_class=(0.0, None, 1.0)), make_result(seed=1, per_class=(0.5, None, 1.0))]
    results.append(make_result("pixels", per_class=(0.1, None, 0.2)))
    (group,) = describe_results([make_run("a", results=results)])
    assert group.class_bars[0].labels == ["trained", "pixels"]
    assert group.class_bars[0].bars == [("0", [0.25, 0.1]), ("1", [None, None]), ("2", [1.0, 0.2])]

    many = [make_result(per_class=tuple(number / 100 for number in range(100)))]
    (bars,) = describe_results([make_run("a", results=many)])[0].class_bars
    assert [name for name, _ in bars.bars] == [str(n) for n in (*range(99, 79, -1), *range(19, -1, -1))]
    assert bars.left_out == 60


def test_confusion_matrix_is_of_the_first_seed(make_run):
    results = [make_result(seed=1, confusion_matrix=((9, 0), (0, 9))), make_result(confusion_matrix=((3, 1), (0, 0)))]
    results.append(make_result("random", confusion_matrix=((1, 1), (1, 1))))
    (group,) = describe_results([make_run("a", results=results)])
    (confusion,) = group.confusions
    assert confusion.seed == 0
    # A class without images has no shares, and no division by zero.
    assert confusion.shares.tolist() == [[0.75, 0.25], [0.0, 0.0]]


def _picture(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size[::-1], 3), 90, np.uint8)).save(path)


def _run_at(make_run, folder, results):
    return dataclasses.replace(make_run("a", results=results), folder=RunFolder(folder))


def test_pictures_of_test_images_are_those_of_the_first_seed_of_each_encoder(make_run, tmp_path):
    results = [make_result(seed=1, sheet="b/sheet.jpg"), make_result(sheet="a/sheet.jpg")]
    results += [make_result("random", sheet="c/sheet.jpg"), make_result("pixels")]
    for name, size in (("a", (40, 30)), ("b", (10, 10)), ("c", (4000, 20))):
        _picture(tmp_path / "results" / name / "sheet.jpg", size)
    run = _run_at(make_run, tmp_path, results)
    (group,) = describe_results([run])
    assert [(sheet.label, sheet.seed) for sheet in group.sheets] == [("trained", 0), ("random", 0)]
    assert [(sheet.picture.width, sheet.picture.height) for sheet in group.sheets] == [(40, 30), (1640, 8)]
    assert run.notes == []


@pytest.mark.parametrize("name", ["gone/sheet.jpg", "../outside.jpg", "text.jpg", "picture.png"])
def test_a_picture_that_cannot_be_shown_is_a_note(make_run, tmp_path, name):
    _picture(tmp_path / "outside.jpg")
    _picture(tmp_path / "results" / "picture.png")
    (tmp_path / "results" / "text.jpg").write_text("no picture")
    run = _run_at(make_run, tmp_path, [make_result(sheet=name)])
    (group,) = describe_results([run])
    assert group.sheets == []
    (note,) = run.notes
    assert note.startswith(f"The picture of semi1, {name}, cannot be shown: ") and "\n" not in note
