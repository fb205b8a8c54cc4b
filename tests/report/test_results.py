import pytest

from barlowtf.report.results import group_results


def result(label="trained", seed=0, top1=0.5, **others):
    data = {"source": "digits", "class_names": None, "fingerprints": {"train": "a", "test": "b"}}
    return {
        "protocol": "semi1",
        "recipe": "repository",
        "changed_settings": [],
        "encoder": {"label": label},
        "data": data,
        "labels": 14,
        "seed": seed,
        "scores": {"top1": top1},
        **others,
    }


def test_control_stands_beside_the_trained_encoder(make_run):
    first = make_run(
        "first", results=[result("random", top1=0.2), *(result(seed=s, top1=0.5 + s / 10) for s in (1, 0))]
    )
    second = make_run("second", results=[result(top1=0.9)])
    (group,) = group_results([first, second])
    assert [(row.name, row.seeds) for row in group.rows] == [
        ("first, trained", [0, 1]),
        ("first, random", [0]),
        ("second, trained", [0]),
    ]
    assert [row.scores["top1"].mean for row in group.rows] == pytest.approx([0.55, 0.2, 0.9])
    assert group.score_names == [("top1", "top-1")]


def test_an_encoder_beside_the_run_s_own_has_a_row_of_its_own(make_run):
    """`barlowtf evaluate --encoder runs/a --encoder runs/b` leaves all results in the folder of the first."""
    results = [
        result(top1=top1, per_class=[top1], encoder={"label": "trained", "name": name, "sha256": name})
        for name, top1 in (("runs/b", 0.9), ("runs/a", 0.5))
    ]
    (group,) = group_results([make_run("a", results=results)])
    assert [(row.name, row.scores["top1"].mean, row.scores["top1"].count) for row in group.rows] == [
        ("a, trained", 0.5, 1),
        ("runs/b", 0.9, 1),
    ]
    assert group.class_bars[0].bars == [("0", 0.5, None)]


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": "knn"},
        {"replicas": 2},
        {"subset": {"kind": "list", "list_sha256": "0"}},
        {"labels": 15},
        {"changed_settings": ["train.epochs = 5"]},
        {"recipe": "paper"},
        {"data": {"source": "digits", "fingerprints": {"train": "c", "test": "b"}}},
    ],
)
def test_what_may_not_be_compared_stands_apart(make_run, other):
    assert len(group_results([make_run(results=[result(), result(seed=1, **other)])])) == 2


def test_class_bars_average_over_seeds_and_leave_out_the_middle(make_run):
    results = [result(per_class=[0.0, None, 1.0]), result(seed=1, per_class=[0.5, None, 1.0])]
    (group,) = group_results([make_run(results=results)])
    assert group.class_bars[0].bars == [("0", 0.25, None), ("1", None, None), ("2", 1.0, None)]

    many = [result(per_class=[number / 100 for number in range(100)])]
    (bars,) = group_results([make_run(results=many)])[0].class_bars
    assert [name for name, _, _ in bars.bars] == [str(n) for n in (*range(99, 79, -1), *range(19, -1, -1))]
    assert bars.left_out == 60


def test_confusion_matrix_is_of_the_first_seed(make_run):
    results = [result(seed=1, confusion_matrix=[[9, 0], [0, 9]]), result(confusion_matrix=[[3, 1], [0, 0]])]
    results.append(result("random", confusion_matrix=[[1, 1], [1, 1]]))
    (group,) = group_results([make_run(results=results)])
    (confusion,) = group.confusions
    assert confusion.seed == 0
    # A class without images has no shares, and no division by zero.
    assert confusion.shares.tolist() == [[0.75, 0.25], [0.0, 0.0]]
