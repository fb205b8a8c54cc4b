"""The table of results: rows, columns, and where a published number stands."""

from pydantic import ValidationError

from barlowtf.evaluation import results_table
from barlowtf.records import Result, judge
from tests.mutations import changed_fields
from tests.result_records import LISTED, make_encoder_facts, make_result


def _named(name, sha256, **changes):
    return make_result(encoder=make_encoder_facts(name, sha256=sha256), **changes)


def _rows(table, start):
    lines = [line for line in table.splitlines() if line.startswith(start)]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_mean_and_interval_side_by_side():
    results = [make_result(seed=seed, top1=top1) for seed, top1 in enumerate((0.5, 0.6, 0.7))]
    results += [make_result("random", seed, 0.25) for seed in range(3)]
    results += [make_result("pixels", top1=0.3)]
    table = results_table(results)
    row = "| semi1 (repository) | digits | 14 | top-1 | 30.0 | 25.0 | 60.0 ± 24.8 | not comparable [1] |"
    assert row in table.splitlines()
    assert table.splitlines()[0] == "| protocol | data | labels | measure | pixels | random | runs/a | published |"
    assert "[1] published: 55.0; other data" in table
    assert "Mean ± 95 % interval over seeds 0, 1, 2" in table


def test_two_seeds_show_their_values():
    table = results_table([make_result(seed=seed, top1=top1) for seed, top1 in enumerate((0.5, 0.7))])
    assert "| top-1 | 50.0, 70.0 |" in table
    assert "±" not in table
    assert "One value for each of the seeds 0, 1." in table


def test_other_encoders_have_columns_of_their_own():
    results = [_named("runs/a", "1" * 64), _named("runs/b", "2" * 64, top1=0.7), _named("runs/b", "3" * 64, top1=0.8)]
    table = results_table(results)
    assert _rows(table, "| protocol")[0][4:7] == ["runs/a", "runs/b (22222222)", "runs/b (33333333)"]
    assert _rows(table, "| semi1")[0][4:7] == ["50.0", "70.0", "80.0"]
    random = [
        make_result(seed=seed, top1=0.2 + seed / 10, encoder=make_encoder_facts(label="random", architecture=name))
        for seed, name in enumerate(("resnet18", "resnet50"))
    ]
    assert _rows(results_table(random), "| semi1")[0][4:6] == ["20.0", "30.0"]


def test_one_seed_counts_once():
    """The same weights under two names: the second name gets the results of the first."""
    results = [_named("runs/a", "1" * 64, seed=seed, top1=0.5 + seed / 10) for seed in (0, 1)]
    assert results_table(results + results) == results_table(results)


def test_what_is_not_alike_has_a_row_of_its_own():
    table = results_table([make_result(), make_result(seed=1, top1=0.9, replicas=2)])
    assert len(_rows(table, "| semi1")) == 2
    without_published = results_table([make_result(changed_settings=("epochs = 5 (variant: 20)",), published=None)])
    assert "* Not the variant's settings: epochs = 5 (variant: 20)." in without_published.replace("\\", "")
    assert "±" not in table


def test_a_title_names_a_list_and_replicas():
    listed = make_result(subset=LISTED, replicas=2, changed_settings=("epochs = 5",))
    titles = [row[0] for row in _rows(results_table([listed, make_result()]), "| semi1")]
    assert titles == ["semi1 (repository), list, 2 replicas *", "semi1 (repository)"]
    # A protocol with one variant is called by its name alone.
    assert _rows(results_table([make_result(protocol="knn")]), "| knn")[0][0] == "knn"


def test_a_protocol_that_is_not_in_the_table():
    mine = make_result(protocol="mine", variant="default", measures=(), scores={"spread": 0.25, "rank": 0.5})
    rows = _rows(results_table([mine, make_result()]), "|")
    assert [row[0] for row in rows[2:]] == ["semi1 (repository)", "mine (default)", "mine (default)"]
    assert [row[3:5] for row in rows[3:]] == [["spread", "25.0"], ["rank", "50.0"]]


def test_a_measure_that_is_not_a_share():
    measures = ({"name": "rank", "title": "effective rank", "percent": False},)
    assert "| effective rank | 31.25 |" in results_table([make_result(measures=measures, scores={"rank": 31.25})])


def test_published_number_stands_beside_what_it_is_comparable_to():
    table = results_table(
        [make_result(not_comparable=None), make_result(protocol="knn", published=None, not_comparable="no number")]
    )
    assert "| top-1 | 50.0 | 55.0 |" in table
    assert "| knn | digits | 14 | top-1 | 50.0 | – |" in table
    both = [_named("runs/a", "1" * 64, not_comparable=None), _named("runs/b", "2" * 64, not_comparable="too small")]
    for results in (both, both[::-1]):
        assert "published: 55.0; too small" in results_table(results)


def test_one_cell_of_a_result_explains_why():
    table = results_table([make_result(scores={"top1": 0.5, "top5": 0.75}, published={"top1": 0.55, "top5": 0.8})])
    first, second = (row[3:] for row in _rows(table, "| semi1"))
    assert first == ["top-1", "50.0", "not comparable [1]"]
    assert second == ["top-5", "75.0", "not comparable"]
    assert "[2]" not in table


def test_changed_settings_are_marked_and_named():
    table = results_table([make_result(changed_settings=("epochs = 5 (variant: 20)",)), make_result()])
    assert "| semi1 (repository) * |" in table
    assert "(* epochs = 5 (variant: 20))" in table
    assert len(_rows(table, "| semi1")) == 2


def test_names_hold_no_markup():
    names = {"name": "a|b\n| x |", "sha256": "1" * 64}
    results = [make_result(encoder=make_encoder_facts(**names), not_comparable="![x](http://a) <b>\x1b[31m")]
    table = results_table(results)
    assert _rows(table.replace(r"\|", "/"), "| protocol")[0][4:6] == ["a/b / x /", "published"]
    assert r"other" not in table and r"!\[x\](http://a) &lt;b&gt;\x1b\[31m" in table


def test_whatever_a_result_says_makes_a_table_and_a_verdict():
    base = make_result(per_class=(0.5, None), confusion_matrix=((1, 2), (3, 4)), scores={"top1": 0.5, "top5": 1.0})
    others = [base, make_result("pixels"), make_result("random")]
    accepted = 0
    for _, text in changed_fields(base.model_dump(mode="json")):
        try:
            changed = Result.model_validate_json(text)
        except ValidationError:
            continue
        accepted += 1
        table = results_table([*others, changed])
        assert len(table) < 60_000 and table.replace("\n", "").isprintable()
        assert "<" not in table
        judge([*others, changed])
    assert accepted > 300
