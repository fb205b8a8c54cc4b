"""What a report says first of a run."""

import dataclasses

from barlowtf.records import RunResult, RunVerdict
from barlowtf.report.glance import glance_at


def test_a_difference_that_few_images_cannot_show_is_none(make_run):
    for images, words in (
        (100, "no better than before training: 3.0 points are no difference that 100"),
        (9000, "3.0 p"),
    ):
        metrics = [{"step": step, "knn_top1": top1, "knn_images": images} for step, top1 in ((0, 0.4), (5, 0.43))]
        said = glance_at(make_run(metrics=metrics, per_epoch=5)).sentences
        assert said[0].startswith(f"Nearest neighbors tell the classes {words}")


def test_the_verdict_of_a_finished_run_follows_what_its_neighbors_say(make_run):
    run = make_run(metrics=[{"step": 0, "knn_top1": 0.4}, {"step": 5, "knn_top1": 0.5}], per_epoch=5)
    verdict = RunVerdict(kind="improving", sentence="still improving: train longer.", notes=("No fault.",))
    result = RunResult(knn_top1_before=0.4, knn_top1=0.5, loss=1.0, images_per_second_median=None, verdict=verdict)
    finished = dataclasses.replace(run, info=run.info.model_copy(update={"result": result}))
    said = glance_at(finished).sentences
    assert said[0] == "Nearest neighbors tell the classes 10.0 points better than before training."
    assert said[1:] == ["Still improving: train longer.", "No fault."]
    assert glance_at(run).sentences == said[:1]
