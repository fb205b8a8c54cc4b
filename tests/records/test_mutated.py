"""Any byte and any field of any record changed: it is read, or one line names the file and the field."""

import json

import pytest

from barlowtf import records, runs
from barlowtf.errors import CheckpointError
from tests.mutations import changed_bytes, changed_fields
from tests.result_records import make_encoder_facts, make_result, make_run_info

_SURROUNDINGS = {
    "command": "barlowtf",
    "versions": {"python": "3.11"},
    "machine": {"processor": "", "cores": 2, "system": "Linux"},
    "devices": ["CPU"],
    "replicas": 1,
    "git_commit": None,
}
_FIGURES = {
    "images": 8,
    "largest_difference": {"features": 0.1},
    "largest_value": {"features": 1.0},
    "least_cosine": 1.0,
}
_SAMPLES = {
    records.RunInfo: make_run_info(
        result=records.RunResult(
            knn_top1_before=0.1,
            knn_top1=0.5,
            loss=1.0,
            images_per_second_median=9.0,
            best=records.RunBest(measure="knn_top1", step=5, value=0.5),
            verdict=records.RunVerdict(kind="flat", sentence="it is flat", notes=("a note",)),
        ),
        parent=records.RunParent(run="runs/a", step=5, sha256="ab"),
        init=records.RunInit(spec="a.keras", sha256="ab", taken=("encoder",), adapted=()),
    ).model_dump(mode="json"),
    records.Result: make_result(
        per_class=(0.5, None), confusion_matrix=((1, 2), (3, 4)), scores={"top1": 0.5, "top5": 1.0}
    ).model_dump(mode="json"),
    records.EmbedManifest: {
        "encoder": make_encoder_facts(),
        "data": {"source": "digits", "split": "train", "images": 3, "fingerprint": "ab", "class_names": ["a", "b"]},
        "format": "parquet",
        "part_rows": 2000,
        "status": "finished",
        "rows": 3,
        "versions": {"numpy": "2"},
    },
    records.ExportRecord: {
        **_SURROUNDINGS,
        "format": "saved-model",
        "settings": {"batch": None},
        "folder": "exports/1",
        "record": "exports/1.json",
        "encoder": make_encoder_facts(),
        "step": None,
        "head": {
            **{"file": "a.json", "sha256": "ab", "protocol": "knn", "variant": "small"},
            **{"seed": 0, "labels": 3, "scores": {"top1": 0.5}},
        },
        "class_names": ["a", "b"],
        "embedding_width": 8,
        "files": {".": {**_FIGURES, "signatures": {"serving_default": _FIGURES}}},
        "left_out": {"int8": "why"},
        "images": {"source": "digits", "count": 8},
        "seconds": 1.0,
    },
    records.CheckpointManifest: {
        "step": 3,
        "files": {name: {"bytes": 5, "sha256": "ab"} for name in ("state.index", "state.data-00000-of-00001")},
    },
}
_METRICS = [{"step": step, "loss": 1.0 / (step + 1), "epoch": step / 5, "knn_top1": 0.5} for step in range(4)]


def one_line(error, file):
    message = str(error)
    assert str(file) in message
    assert message.isprintable() and len(message) < 500 + len(str(file)), message


@pytest.mark.parametrize("kind", list(_SAMPLES), ids=lambda kind: kind.__name__)
def test_a_record_is_read_or_one_line_names_file_and_field(kind, tmp_path):
    file = tmp_path / "record.json"
    sample = json.loads(json.dumps(_SAMPLES[kind]))
    file.write_text(json.dumps(sample))
    assert records.read_record(file, kind) == kind.model_validate_json(json.dumps(sample))
    refused = 0
    for path, text in changed_fields(sample):
        file.write_text(text, encoding="utf-8")
        try:
            records.read_record(file, kind)
        except CheckpointError as error:
            one_line(error, file)
            refused += 1
            if "invalid JSON" not in str(error) and isinstance(path[0], str):
                assert str(path[0]) in str(error)
    for content in changed_bytes(json.dumps(sample).encode(), 200, seed=15):
        file.write_bytes(content)
        try:
            records.read_record(file, kind)
        except CheckpointError as error:
            one_line(error, file)
            refused += 1
    assert refused > 100


def test_metrics_are_read_or_one_line_names_file_line_and_key(tmp_path):
    file = tmp_path / "metrics.jsonl"
    lines = [json.dumps(record) for record in _METRICS]
    refused = 0
    for path, text in changed_fields(_METRICS[1]):
        file.write_text("\n".join([lines[0], text, *lines[2:]]) + "\n", encoding="utf-8")
        try:
            for record in records.read_metrics(file):
                assert all(isinstance(float(value), float) for value in record.values()) and record["step"] >= 0
            runs.forget_after(file, 2)
        except CheckpointError as error:
            one_line(error, file)
            assert "line 2" in str(error)
            assert "not a JSON object" in str(error) or str(path[0]) in str(error)
            refused += 1
    for content in changed_bytes("\n".join(lines).encode(), 500, seed=15):
        file.write_bytes(content)
        try:
            records.read_metrics(file)
        except CheckpointError as error:
            one_line(error, file)
            refused += 1
    assert refused > 100
    for text in ('[["step", 1]]', "5", "null", '"step"'):
        file.write_text(f"{text}\n{lines[0]}\n")
        with pytest.raises(CheckpointError, match="line 1 is not a JSON object"):
            records.read_metrics(file)


def test_a_record_holds_what_its_readers_rely_on(tmp_path):
    file = tmp_path / "record.json"
    cases = [
        (records.Result, {"scores": {}}, "scores"),
        (records.Result, {"scores": {"other": 0.5}}, "scores lack 'top1'"),
        (records.Result, {"scores": {"top1": 1.5}}, "expected a share"),
        (records.Result, {"confusion_matrix": [[1, 2], [3]]}, "not square"),
        (records.CheckpointManifest, {"files": {}}, "files lack state.index"),
        (records.CheckpointManifest, {"files": {"../../x": {"bytes": 1, "sha256": ""}}}, "pattern"),
        (records.EmbedManifest, {"encoder": make_encoder_facts(background="#12345g")}, "encoder.background"),
        (records.RunInfo, {"steps": {"total": 1, "per_epoch": 0}}, "steps.per_epoch"),
    ]
    for kind, change, reason in cases:
        file.write_text(json.dumps({**_SAMPLES[kind], **change}))
        with pytest.raises(CheckpointError, match=reason):
            records.read_record(file, kind)


def test_pipes_and_links_are_neither_opened_nor_written_through(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(CheckpointError, match="it is a pipe, expected a file"):
        records.read_record(tmp_path / "pipe.json", records.RunInfo)
    with pytest.raises(CheckpointError, match="it is a pipe, expected a file"):
        records.read_metrics(tmp_path / "pipe.json")
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "metrics.jsonl").symlink_to(tmp_path / "victim")
    with pytest.raises(CheckpointError, match="is a symbolic link, which is never written through"):
        records.append_line(tmp_path / "metrics.jsonl", {"step": 1})
    records.write_record(tmp_path / "metrics.jsonl", make_run_info())
    assert (tmp_path / "victim").read_text() == "kept"
    assert not (tmp_path / "metrics.jsonl").is_symlink()


@pytest.mark.parametrize("name", [".lock", "checkpoints", "metrics.jsonl", "tensorboard", "results", "table.md"])
def test_a_folder_with_links_for_what_is_written_is_refused(tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / name).symlink_to(victim)
    with pytest.raises(CheckpointError, match=f"{name} is a symbolic link"), runs.locked(folder):
        pass
    assert victim.read_text() == "kept"
