"""Which results share a row or a column, and how scores of several seeds print."""

import pytest

from barlowtf.records.grouping import (
    encoder_key,
    format_scores,
    format_value,
    group_results,
    name_columns,
    objection,
    summarize,
)
from tests.result_records import LISTED, make_data, make_encoder_facts, make_result


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "–"),
        ([0.612], "61.2"),
        ([0.5, 0.7], "50.0, 70.0"),
        ([0.5, 0.5, 0.5], "50.0"),
        # Deviation 10, error 5.77, Student's t 4.30: 24.8.
        ([0.5, 0.6, 0.7], "60.0 ± 24.8"),
    ],
)
def test_scores_of_seeds(values, text):
    assert format_scores(summarize(values)) == text


def test_values_that_are_not_shares():
    assert format_value(31.25, percent=False) == "31.25"
    assert format_scores(summarize([1.0, 2.0, 3.0]), percent=False) == "2 ± 2.484"
    assert summarize([0.5, 0.7]).points == (0.5, 0.7)
    assert summarize([0.5, 0.6, 0.7]).points == pytest.approx((0.6,))


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": "knn"},
        {"replicas": 2},
        {"subset": LISTED},
        {"subset": {**LISTED, "list_sha256": "1"}},
        {"labels": 15},
        {"changed_settings": ("epochs = 5",)},
        {"variant": "paper"},
        {"data": make_data(fingerprints={"train": "c", "test": "b"})},
    ],
)
def test_what_may_not_be_compared_stands_apart(other):
    assert len(group_results([[make_result(), make_result(seed=1, **other)]], ())) == 2
    assert len(group_results([[make_result(), make_result(seed=1)]], ())) == 1


def test_images_are_the_same_however_they_are_named():
    elsewhere = make_result(seed=1, data=make_data(source="/data/digits"))
    assert len(group_results([[make_result(), elsewhere]], ())) == 1


def test_groups_follow_the_table_and_hold_a_list_per_run():
    first = [make_result(protocol="mine"), make_result(protocol="knn"), make_result(seed=1), make_result(top1=0.1)]
    second = [make_result(top1=0.9), make_result(top1=0.8)]
    semi, knn, mine = group_results([first, second], ["semi1", "knn"])
    assert [[(r.seed, r.scores["top1"]) for r in results] for results in semi] == [[(0, 0.1), (1, 0.5)], [(0, 0.8)]]
    assert [len(results) for results in knn] == [len(results) for results in mine] == [1, 0]


def test_controls_have_columns_of_their_own():
    results = [make_result(), make_result("random"), make_result("random", 1), make_result("pixels")]
    results[2] = make_result("random", 1, encoder=make_encoder_facts(label="random", sha256="other"))
    assert list(name_columns(results).values()) == ["runs/a", "random", "pixels"]
    assert encoder_key(results[1]) == encoder_key(results[2])
    twins = [make_result(encoder=make_encoder_facts(sha256=digit * 64)) for digit in "12"]
    assert list(name_columns(twins).values()) == ["runs/a (11111111)", "runs/a (22222222)"]
    equal = [make_result(encoder=make_encoder_facts(name=name)) for name in ("runs/a", "runs/b")]
    assert list(name_columns(equal).values()) == ["runs/a", "runs/b"]


def test_controls_do_not_decide_what_is_comparable():
    trained, random = make_result(not_comparable=None), make_result("random", not_comparable="untrained")
    assert objection([random, trained]) is None
    assert objection([random]) == "untrained"
    assert objection([trained, make_result(not_comparable="too small")]) == "too small"
