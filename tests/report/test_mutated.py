"""A run folder of which any field or byte was changed: a page, a note on it, or one line."""

import json
import random
from datetime import UTC, datetime

import pytest

from barlowtf import experiment
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.errors import BarlowTFError
from barlowtf.records import RunResult, RunVerdict, write_record, write_result
from barlowtf.report import read_run, render_page
from tests.mutations import changed_bytes, changed_fields
from tests.result_records import make_result, make_run_info

_METRICS = [
    {"step": step, "epoch": step / 5, "loss_per_dimension": 1.0 / (step + 1), "invariance_per_dimension": 0.5}
    | {"knn_top1": 0.5, "effective_rank": 3.0, "dead_dimensions": 0, "images_per_second": 99.0}
    for step in (0, 5, 10)
]


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "results").mkdir(parents=True)
    (folder / "recipe.toml").write_text(dump_recipe(load_recipe("digits")))
    verdict = RunVerdict(kind="flat", sentence="it is flat", notes=("a note",))
    result = RunResult(
        knn_top1_before=0.1, knn_top1=0.5, loss=1.0, images_per_second_median=9.0, best=None, verdict=verdict
    )
    write_record(folder / "run.json", make_run_info(result=result))
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in _METRICS))
    write_result(folder / "results" / "a.json", make_result(per_class=(0.5, None), confusion_matrix=((1, 2), (3, 4))))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "results/a.json"])
def test_a_page_or_one_line(run, name):
    file = run / name
    content = file.read_bytes()
    line = content.splitlines()[1] if name == "metrics.jsonl" else content
    changes = [text.encode("utf-8") for _, text in changed_fields(json.loads(line))]
    changes = random.Random(15).sample(changes, 160)
    if name == "metrics.jsonl":
        changes = [content.replace(line, change) for change in changes]
    pages = 0
    for change in [*changes, *changed_bytes(content, 20, seed=15)]:
        file.write_bytes(change)
        try:
            contents = read_run(run)
            page = render_page([contents], created=datetime.now(UTC), version="1")
            assert 'id="evil"' not in page
            pages += 1
        except BarlowTFError as error:
            assert len(" ".join(str(error).split())) < 700 and str(run) in str(error)
        try:
            experiment.explain_health(experiment.diagnose(run))
        except BarlowTFError as error:
            assert str(run) in str(error)
    assert pages >= (180 if name == "results/a.json" else 15)


def test_damaged_results_and_event_files_are_left_out_with_a_note(run):
    (run / "results" / "b.json").write_text("{")
    (run / "tensorboard").mkdir()
    (run / "tensorboard" / "events.out.tfevents.1.x").write_bytes(b"\x00" * 100)
    contents = read_run(run)
    render_page([contents], created=datetime.now(UTC), version="1")
    assert len(contents.results) == 1
    assert any("b.json is not a valid Result" in note for note in contents.notes)
