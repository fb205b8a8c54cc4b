"""Records of results and runs, as evaluation and pre-training write them, for tests of what reads them."""

from barlowtf.records import Machine, Result, RunData, RunInfo, RunSteps

_RECORD = {
    "protocol": "semi1",
    "variant": "repository",
    "settings": {},
    "changed_settings": (),
    "labels": 14,
    "subset": None,
    "seed": 0,
    "measures": ({"name": "top1", "title": "top-1", "headline": True}, {"name": "top5", "title": "top-5"}),
    "details": {},
    "published": {"top1": 0.55},
    "not_comparable": "other data",
    "head": None,
    "seconds": 1.0,
    "per_class": (),
    "confusion_matrix": None,
    "command": "barlowtf evaluate",
    "versions": {},
    "machine": {"processor": "", "cores": 2, "system": ""},
    "devices": (),
    "replicas": 1,
    "git_commit": None,
}
DRAWN = {"kind": "class-balanced draw", "images": 14, "sha256": "0", "fraction": 0.01, "seed": 0}
LISTED = {"kind": "list", "images": 14, "sha256": "0", "file": "list.txt", "list_sha256": "0"}


def make_data(**changes):
    """The content of "data"."""
    data = {"source": "digits", "train_images": 1437, "test_images": 360, "classes": 2, "class_names": None}
    return {**data, "fingerprints": {"train": "a", "test": "b"}, **changes}


def make_encoder_facts(name="runs/a", label="trained", sha256=None, **changes):
    """The content of "encoder"."""
    facts = {"name": label if label != "trained" else name, "kind": "run", "label": label, "sha256": sha256 or label}
    facts |= {"architecture": "resnet18", "image_shape": (8, 8, 1), "mean": (0.5,), "std": (0.5,)}
    return {**facts, "feature_width": 32, "parameters": 1000, **changes}


def make_result(label="trained", seed=0, top1=0.5, **changes):
    """A result of semi1 on digits."""
    record = {**_RECORD, "encoder": make_encoder_facts(label=label), "data": make_data(), "subset": DRAWN}
    return Result.model_validate({**record, "seed": seed, "scores": {"top1": top1}, **changes})


def make_run_info(**changes):
    """The record of a run on digits."""
    fields = {
        "command": "barlowtf pretrain",
        "versions": {"python": "3.11"},
        "machine": Machine(processor="", cores=2, system="Linux"),
        "devices": ("CPU",),
        "replicas": 1,
        "git_commit": None,
        "status": "finished",
        "data": RunData(source="digits", images=10, fingerprint="ab"),
        "steps": RunSteps(total=10, per_epoch=5),
        "parameters": 5,
        "loss_terms": ("invariance", "redundancy"),
    }
    return RunInfo(**{**fields, **changes})
