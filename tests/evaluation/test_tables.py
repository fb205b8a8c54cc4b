"""Tables and the reasons for which a published number does not stand beside a result."""

import json

import numpy as np
import pytest

from barlowtf.evaluation import classification_outcome, dump_result, identity, not_comparable, results_table
from barlowtf.models import make_encoder


def _record(protocol="semi1", label="trained", seed=0, top1=0.5, **changes):
    return {
        "protocol": protocol,
        "recipe": "repository",
        "changed_settings": [],
        "encoder": {"name": "runs/a", "label": label, "sha256": label, "architecture": "resnet18"},
        "data": {"source": "digits", "fingerprints": {"train": "a", "test": "b"}},
        "labels": 14,
        "subset": {"kind": "class-balanced draw"},
        "replicas": 1,
        "seed": seed,
        "scores": {"top1": top1},
        "published": {"top1": 0.55},
        "not_comparable": "other data",
        **changes,
    }


def _named(name, sha256, **changes):
    encoder = {"name": name, "label": "trained", "sha256": sha256, "architecture": "resnet18"}
    return _record(**{"encoder": encoder, **changes})


def _row(table, start):
    (row,) = [line for line in table.splitlines() if line.startswith(start)]
    return [cell.strip() for cell in row.split("|")[1:-1]]


def test_mean_and_interval_side_by_side():
    records = [_record(seed=seed, top1=top1) for seed, top1 in enumerate((0.5, 0.6, 0.7))]
    records += [_record(label="random", seed=seed, top1=0.25) for seed in range(3)]
    table = results_table(records)
    # Deviation 10, error 5.77, Student's t 4.30: 24.8.
    row = "| semi1 (repository) | digits | 14 | top-1 | 25.0 | 60.0 ± 24.8 | not comparable [1] |"
    assert row in table.splitlines()
    assert table.splitlines()[0] == "| protocol | data | labels | measure | random | runs/a | published |"
    assert "[1] published: 55.0; other data" in table
    assert "over seeds 0, 1, 2" in table


def test_other_encoders_have_columns_of_their_own():
    records = [_named("runs/a", "1" * 64), _named("runs/b", "2" * 64, top1=0.7), _named("runs/b", "3" * 64, top1=0.8)]
    table = results_table(records)
    assert _row(table, "| protocol")[4:7] == ["runs/a", "runs/b (22222222)", "runs/b (33333333)"]
    assert _row(table, "| semi1")[4:7] == ["50.0", "70.0", "80.0"]
    random = [_record(label="random", seed=seed, top1=0.2 + seed / 10) for seed in range(2)]
    random[1]["encoder"]["architecture"] = "resnet50"
    assert _row(results_table(random), "| semi1")[4:6] == ["20.0", "30.0"]


def test_one_seed_counts_once():
    """The same weights under two names: the second name gets the records of the first."""
    records = [_named("runs/a", "1" * 64, seed=seed, top1=0.5 + seed / 10) for seed in (0, 1)]
    assert results_table(records + records) == results_table(records)


_LISTED = {"kind": "list", "list_sha256": "0"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"replicas": 2}),
        ({}, {"subset": _LISTED}),
        ({"subset": _LISTED}, {"subset": {**_LISTED, "list_sha256": "1"}}),
        ({}, {"data": {"source": "copies", "fingerprints": {"train": "a", "test": "b"}}}),
        ({}, {"data": {"source": "digits", "fingerprints": {"train": "c", "test": "b"}}}),
        ({}, {"recipe": "paper"}),
        ({}, {"labels": 15}),
    ],
)
def test_what_is_not_alike_has_a_line_of_its_own(one, other):
    table = results_table([_record(**one), _record(seed=1, top1=0.9, **other)])
    assert len([line for line in table.splitlines() if line.startswith("| semi1")]) == 2
    assert "±" not in table.partition("\n\n")[0]


def test_a_title_tells_a_list_and_replicas():
    listed = _record(subset=_LISTED, replicas=2, changed_settings=["epochs = 5"])
    assert _row(results_table([listed, _record()]), "| semi1 (repository), ")[0] == (
        "semi1 (repository), list, 2 replicas *"
    )
    assert _row(results_table([_record()]), "| semi1")[0] == "semi1 (repository)"


def test_published_number_stands_beside_what_it_is_comparable_to():
    table = results_table([_record(not_comparable=None), _record("knn", published=None, not_comparable="no number")])
    assert "| top-1 | 50.0 | 55.0 |" in table
    assert "| knn | digits | 14 | top-1 | 50.0 | – |" in table
    both = [_named("runs/a", "1" * 64, not_comparable=None), _named("runs/b", "2" * 64, not_comparable="too small")]
    for records in (both, both[::-1]):
        assert "published: 55.0; too small" in results_table(records)


def test_the_untrained_encoder_does_not_decide_what_is_comparable():
    random = _record(label="random", not_comparable="untrained")
    assert _row(results_table([random, _record(not_comparable=None)]), "| semi1")[-1] == "55.0"
    assert "published: 55.0; untrained" in results_table([random])


def test_one_cell_of_a_result_tells_why():
    scores, published = {"top1": 0.5, "top5": 0.75}, {"top1": 0.55, "top5": 0.8}
    table = results_table([_record(scores=scores, published=published)])
    first, second = (line.split("|")[4:-1] for line in table.splitlines() if line.startswith("| semi1"))
    assert [cell.strip() for cell in first] == ["top-1", "50.0", "not comparable [1]"]
    assert [cell.strip() for cell in second] == ["top-5", "75.0", "not comparable"]
    assert "[2]" not in table


def test_changed_settings_are_marked_and_told():
    changed = _record(changed_settings=["epochs = 5 (recipe: 20)"])
    table = results_table([changed, _record()])
    assert "| semi1 (repository) * |" in table
    assert "(* epochs = 5 (recipe: 20))" in table
    assert len([line for line in table.splitlines() if line.startswith("| semi1")]) == 2


def test_reasons():
    resnet50 = {"parameters": make_encoder("resnet50", image_shape=(224, 224, 3)).count_params()}

    def reason(protocol="linear", source="tfds:imagenet2012", changes=(), recipe="paper", size=224, **more):
        known = {"source": source, "recipe": recipe, "changes": list(changes), "test_images": 50_000}
        known["encoder"] = {"image_shape": [size, size, 3], **resnet50, **more.pop("encoder", {})}
        return not_comparable(protocol, **{**known, **more})

    assert reason() is None
    assert reason(source="tfds:imagenet2012:5.1.0") is None
    assert reason("semi1") is None
    assert reason(source="imagenet2012") == "other data than tfds:imagenet2012"
    assert reason(changes=["epochs = 5"]) == "settings changed"
    assert reason(encoder={"parameters": None}) == reason(size=32) == "other encoder than a ResNet-50 at 224 pixels"
    assert reason("semi1", recipe="small") == "other recipe"
    assert reason("knn") == "no published number"
    assert reason(recipe="small", changes=["epochs = 5"], size=32, source="digits").split(", ") == [
        "other data than tfds:imagenet2012",
        "other recipe",
        "settings changed",
        "other encoder than a ResNet-50 at 224 pixels",
    ]
    ours = {"kind": "list", "list_sha256": "0" * 64}
    theirs = {"kind": "list", "list_sha256": "71e82a48ba78252683ae334c4d019ebd5c6e855b9599c1389fbe83eb9549cf17"}
    drawn = {"kind": "class-balanced draw", "seed": 0}
    assert reason("semi1", subset=theirs) is None
    assert reason("semi1", subset=theirs, source="/data/imagenet") is None
    assert "other data" in reason("semi1", subset=theirs, source="/data/imagenet", test_images=500)
    for protocol, subset in (("semi1", ours), ("semi1", drawn), ("semi10", theirs), ("linear", ours)):
        assert reason(protocol, subset=subset) == "other labeled images than the published ones"
    assert reason("places205") == "the data cannot be checked to be those of the paper"


def test_result_file_is_json_with_a_key_a_line():
    outcome = classification_outcome(np.eye(3), np.array([0, 1, 1]), epoch=2)
    assert outcome.per_class == [1.0, 0.5, None]
    assert outcome.confusion == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    # Five of at most five classes are always right: no measure.
    assert outcome.scores == {"top1": 2 / 3}
    assert classification_outcome(np.eye(6), np.arange(6)).scores == {"top1": 1.0, "top5": 1.0}
    text = dump_result({"scores": outcome.scores, "confusion_matrix": outcome.confusion, "details": outcome.details})
    assert len(text.splitlines()) == 5
    assert json.loads(text)["details"] == {"epoch": 2}


def test_identity_depends_on_content_alone():
    assert identity({"a": 1, "b": [2]}) == identity({"b": [2], "a": 1})
    assert identity({"a": 1}) != identity({"a": 2})
    assert len(identity({})) == 8
