"""Each diagnosis of a run, provoked by what a run would have recorded; and a healthy run, of which nothing is said."""

from dataclasses import replace

import pytest

from barlowtf.config import load_recipe, named_recipes
from barlowtf.experiment.diagnosis import find_in
from barlowtf.experiment.run_diagnoses import RUN_DIAGNOSES
from barlowtf.experiment.run_facts import RunFacts
from barlowtf.records import Machine, RunData, RunInfo, RunSteps

INFO = RunInfo(
    command="barlowtf pretrain --config imagenet-b256 --run-dir runs/a",
    versions={},
    machine=Machine(processor="", cores=2, system=""),
    devices=("GPU",),
    replicas=1,
    git_commit=None,
    status="finished",
    data=RunData(source="photos", images=25_600, fingerprint=""),
    steps=RunSteps(total=1000, per_epoch=100),
    parameters=1,
    loss_terms=("invariance", "redundancy"),
)


def lines(**columns):
    """Returns metrics at steps 0, 100, ..., of the columns' values; None: not recorded."""
    count = max(len(values) for values in columns.values())
    return tuple(
        {"step": 100 * at}
        | {name: values[at] for name, values in columns.items() if at < len(values) and values[at] is not None}
        for at in range(count)
    )


METRICS = lines(
    loss=[8000.0, 3000.0, 2000.0, 1500.0, 1400.0],
    gradient_norm=[9000.0, 500.0, 400.0, 300.0, 350.0],
    effective_rank=[9.0, 40.0, 60.0, 70.0, 75.0],
    dead_dimensions=[0, 0, 0, 0, 0],
    knn_top1=[0.2, 0.4, 0.5, 0.6, 0.6],
    images_per_second=[None, 500.0, 510.0, 505.0, 500.0],
    input_wait=[None, 0.03, 0.02, 0.02, 0.01],
)
HEALTHY = RunFacts(
    recipe=load_recipe("imagenet-b256"),
    info=INFO,
    metrics=METRICS,
    saved_steps=(900, 1000),
    has_encoder=True,
    in_use=False,
)


def but(**columns):
    """Returns the healthy run's metrics with other values in some columns."""
    others = lines(**columns)
    return tuple(line | other for line, other in zip(METRICS, others, strict=True))


def recipe(*overrides, config="imagenet-b256"):
    return load_recipe(config, list(overrides))


def info(**changes):
    return INFO.model_copy(update=changes)


# Diagnosis -> runs that have it, with a part of what is said.
PROVOKED = [
    (
        "same images",
        {"info": info(data=INFO.data.model_copy(update={"sameness": "All 16 images of a sample are equal, e.g. a."}))},
        "All 16 images of a sample are equal",
    ),
    (
        "failures",
        {"info": info(status="interrupted", failures=("Step 7 is not finite: loss.",)), "in_use": True},
        "once",
    ),
    ("past failures", {"info": info(failures=("one", "two"))}, "2 times"),
    (
        "bad values",
        {"metrics": but(gradient_norm=[1.0, float("nan"), 1.0, 1.0, 1.0])},
        "1 recorded value is not finite",
    ),
    ("collapse", {"metrics": but(effective_rank=[9.0, 2.0, 1.5, 1.2, 1.1])}, "effective rank 1.1"),
    ("collapse", {"metrics": but(dead_dimensions=[0, 0, 0, 9, 8000])}, "8000 of 8192 dimensions dead"),
    ("rising loss", {"metrics": but(loss=[100.0, 90.0, 200.0, 300.0, 400.0])}, "The loss is 300, not below 100"),
    ("below untrained", {"metrics": but(knn_top1=[0.2, 0.19, 0.2, 0.2, 0.19])}, "19.0 %, not above 20.0 %"),
    ("small batch", {"recipe": recipe("train.batch_size=8", "optimizer.learning_rate=0.7")}, "8 images"),
    ("stopped", {"info": info(status="interrupted")}, "was stopped at step 1,000 of 1,000, saved at step 1,000"),
    (
        "stopped",
        {"info": info(status="running"), "saved_steps": ()},
        "was killed at step 400 of 1,000, nothing is saved",
    ),
    ("not started", {"info": None, "metrics": (), "saved_steps": (), "has_encoder": False}, "has taken no step"),
    ("no encoder", {"has_encoder": False}, "encoder.keras is missing"),
    ("input-bound", {"metrics": but(input_wait=[None, 0.5, 0.4, 0.5, 0.6])}, "50.0 % of the time"),
    (
        "past its best",
        {"metrics": but(knn_top1=[0.2, 0.4, 0.6, 0.58, 0.5])},
        "was 60.0 % at step 200 and is 50.0 % now",
    ),
    ("low rank", {"metrics": but(effective_rank=[5.0, 5.0, 6.0, 7.0, 8.0])}, "8.0 of at most 256 (D = 8192)"),
    ("falling rank", {"metrics": but(effective_rank=[9.0, 70.0, 60.0, 40.0, 30.0])}, "from 70.0 to 30.0"),
    ("dead dimensions", {"metrics": but(dead_dimensions=[0, 0, 0, 500, 600])}, "600 of 8192"),
    ("gradient spikes", {"metrics": METRICS + lines(gradient_norm=[0, 300.0, 300.0, 300.0, 9000.0])}, "9000, 30 times"),
    ("rate", {"recipe": recipe("optimizer.learning_rate=4", "optimizer.bias_learning_rate=0.096")}, "10 times 0.4"),
    (
        "rate",
        {"recipe": recipe("train.batch_size=2048", "optimizer.learning_rate=0.02")},
        "the authors' rate for a batch of",
    ),
    ("rate", {"recipe": recipe("optimizer.learning_rate=0.1", config="cifar10-cpu")}, "12.5 times 0.008"),
    ("bias rate", {"recipe": recipe("optimizer.gradient_scale=1")}, "16 times as far"),
    (
        "rare saves",
        {"recipe": recipe("checkpoint.every_minutes=none", "checkpoint.every_steps=5000")},
        "up to 42 minutes",
    ),
    ("few steps", {"info": info(steps=RunSteps(total=60, per_epoch=15))}, "60 steps of 256 images"),
]


def test_nothing_is_found_in_a_healthy_run():
    assert find_in(HEALTHY, RUN_DIAGNOSES) == ()


@pytest.mark.parametrize(("name", "changes", "said"), PROVOKED, ids=[name for name, *_ in PROVOKED])
def test_a_diagnosis_is_provoked(name, changes, said):
    run = replace(HEALTHY, **changes)
    if name == "rare saves":
        run = replace(run, info=info(steps=RunSteps(total=5075, per_epoch=100)))
    found = {finding.name: finding for finding in find_in(run, RUN_DIAGNOSES)}
    assert said in found[name].what
    assert found[name].severity == RUN_DIAGNOSES[name].severity
    # What follows from the same cause may be named, too; a healthy rest is not.
    consequences = {"rate": {"bias rate"}, "collapse": {"dead dimensions", "falling rank", "low rank"}}
    assert set(found) - {name} <= consequences.get(name, set())


def test_every_diagnosis_is_provoked_above():
    assert {name for name, *_ in PROVOKED} == set(RUN_DIAGNOSES)


def test_harm_comes_before_notes():
    run = replace(HEALTHY, info=info(status="interrupted", steps=RunSteps(total=60, per_epoch=15)), has_encoder=False)
    assert [finding.severity for finding in find_in(run, RUN_DIAGNOSES)] == ["harm", "note"]


@pytest.mark.parametrize("config", named_recipes())
def test_packaged_recipes_have_known_rates(config):
    assert (
        find_in(
            replace(HEALTHY, recipe=load_recipe(config)), {name: RUN_DIAGNOSES[name] for name in ("rate", "bias rate")}
        )
        == ()
    )
