"""Each sentence about a run, provoked by the curves that it is for."""

import numpy as np
import pytest

from barlowtf.metrics import Measure, judge_run


def records(**curves):
    """Lines of metrics.jsonl at the ends of epochs of 10 steps, from step 0 on."""
    length = max(map(len, curves.values()))
    return [
        {"step": 10 * epoch, **{key: values[epoch] for key, values in curves.items() if values[epoch] is not None}}
        for epoch in range(length)
    ]


def judge(**curves):
    return judge_run(records(**curves), steps_per_epoch=10, embedding_width=64)


def saturating(epochs, of):
    """Rises from 0.2 to 0.6 and is there after about `of` epochs."""
    return list(0.6 - 0.4 * np.exp(-3 * np.arange(epochs + 1) / of))


def test_a_curve_that_rises_to_the_end_is_to_be_trained_longer():
    verdict = judge(knn_top1=saturating(20, of=30))
    assert verdict.kind == "improving"
    assert verdict.sentence == (
        "still improving: kNN top-1 gained 3.1 points over the last fifth of the run, to 54.6 %; train longer."
    )


def test_a_curve_that_has_stopped_rising_is_flat():
    verdict = judge(knn_top1=saturating(20, of=8))
    assert verdict.kind == "flat"
    assert verdict.sentence == (
        "flat for the last fifth of the run: kNN top-1 is 60.0 %, a change of 0.1 points; more epochs of this recipe "
        "gain little."
    )


def test_a_rise_within_the_noise_is_flat():
    noise = 0.02 * (-1.0) ** np.arange(21)
    rise = np.linspace(0, 0.06, 21)
    assert judge(knn_top1=list(saturating(20, of=5) + rise)).kind == "improving"
    assert judge(knn_top1=list(saturating(20, of=5) + rise + noise)).kind == "flat"


def test_a_curve_that_has_fallen_again_names_its_best_epoch():
    values = [0.2, 0.4, 0.5, 0.58, 0.61, 0.6, 0.57, 0.55, 0.52, 0.51, 0.5]
    verdict = judge(knn_top1=values)
    assert verdict.kind == "past its best"
    assert "was 61.0 % at epoch 4 and is 50.0 % now; take a checkpoint" in verdict.sentence


def test_no_more_than_the_untrained_encoder_is_nothing_gained():
    verdict = judge(knn_top1=[0.44, 0.43, 0.44, 0.435, 0.44, 0.44])
    assert verdict.kind == "nothing gained"
    assert "is 44.0 %, and was 44.0 % before the first step" in verdict.sentence


def test_without_labels_lidar_says_whether_the_features_have_settled():
    verdict = judge(lidar=[90.0, 10.0, 20.0, 30.0, 36.0, 40.0], rankme=[1.0] * 6)
    assert verdict.kind == "changing"
    assert "LiDAR rose by 4.0 over the last fifth of the run, to 40.0, so the features have not" in verdict.sentence
    # As on digits, where kNN rises all the while.
    falling = [23.0, 56.0, 40.0, 36.0, 32.0, 30.5, 29.6, 29.4, 29.7, 29.0, 29.5, 29.0]
    assert "LiDAR fell by 1.5 over the last fifth" in judge(lidar=falling[:6]).sentence
    assert judge(lidar=falling).kind == "flat"
    assert judge(lidar=[90.0, 40.0, 40.0, 40.0, 40.0, 40.0]).kind == "flat"
    assert "RankMe" in judge(rankme=[9.0, 10.0, 20.0, 30.0, 36.0, 40.0], lidar=[50.0] + 5 * [None]).sentence


@pytest.mark.parametrize(
    ("curves", "words"),
    [
        (
            {"dead_dimensions": [0, 10, 40], "effective_rank": [30.0] * 3},
            "40 of the 64 dimensions of the",
        ),
        ({"effective_rank": [30.0, 5.0, 1.3]}, r"near one line \(effective rank 1.3 of 64\)"),
        ({"effective_rank": [9.0, 45.0, 50.0, 30.0, 12.0, 11.0]}, "fell from 50 at epoch 2 to 11; lower the learning"),
    ],
)
def test_a_collapse_is_told_before_anything_else(curves, words):
    knn = saturating(len(curves["effective_rank"]) - 1, of=30)
    verdict = judge(knn_top1=knn, **curves)
    assert verdict.kind == "collapsing"
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(verdict.sentence)


def test_a_rank_below_that_of_random_weights_is_no_collapse():
    assert judge(effective_rank=[60.0, 14.0, 14.2, 14.3, 14.3], knn_top1=saturating(4, of=9)).kind == "improving"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            [0.1, 0.2, 0.3],
            "at the start and 2 times after it, and a curve needs 4 values after the start; train for 4 ",
        ),
        ([0.1, None, 0.3], "at the start and once after it, and a curve needs 4 values after the start; set "),
        ([None, 0.2], "once, and a curve needs 4 values after the start; train for 4 epochs or more."),
        ([0.1] + 7 * [None] + [0.3], "; set monitor.knn_every_epochs = 2."),
        ([0.1, None, None, 0.3], "; set monitor.knn_every_epochs = 1 and train for 4 epochs or more."),
    ],
)
def test_too_few_measurements_count_the_start_and_advise_what_helps(values, words):
    told = judge(knn_top1=values, loss=[1.0] * len(values)).sentence
    assert told.startswith("unclear: kNN top-1 was measured ") and words in told


def test_without_measurements_the_settings_are_named():
    assert "set monitor.knn_every_epochs or monitor.collapse_every_epochs" in judge(loss=[2.0, 1.0]).sentence


@pytest.mark.parametrize(
    ("values", "few", "many"),
    [
        (saturating(20, of=30), "unclear", "improving"),
        ([0.2, 0.4, 0.5, 0.58, 0.61, 0.61, 0.61, 0.6, 0.54, 0.54, 0.54], "flat", "past its best"),
        ([0.44, 0.45, 0.46, 0.47, 0.47, 0.47, 0.47, 0.47, 0.47, 0.47, 0.47], "nothing gained", "flat"),
    ],
)
def test_few_test_images_show_less_than_many(values, few, many):
    def judged(images):
        return judge(knn_top1=values, knn_images=[images] * len(values))

    assert (judged(360).kind, judged(100_000).kind) == (few, many)
    assert "is no difference that 360 images can show" in judged(360).sentence


def test_one_of_360_images_is_no_change():
    values = [0.70, 0.83, 0.91, 0.93, 0.95, 0.967, 0.956, 0.967, 0.969, 0.969, 0.961, 0.964, 0.967, 0.964, 0.967, 0.964]
    assert judge(knn_top1=values, knn_images=[360] * len(values)).sentence == (
        "flat for the last fifth of the run: kNN top-1 is 96.4 %, a change of 0.1 points, and below 2.9 points is no "
        "difference that 360 images can show; more epochs of this recipe gain little."
    )


def test_values_that_are_not_finite_are_left_out():
    assert judge(knn_top1=[0.2, 0.3, 0.4, float("nan"), 0.5, 0.6]).kind == "improving"


def test_a_measure_of_ones_own():
    other = Measure("probe_top1", "the probe", "monitor.probe", True)
    lines = records(probe_top1=saturating(20, of=30), knn_top1=[0.5] * 21)
    verdict = judge_run(lines, steps_per_epoch=10, embedding_width=64, measures=(other,))
    assert verdict.sentence.startswith("still improving: the probe gained")


def test_a_redundancy_term_that_rises_while_the_loss_falls_is_explained():
    loss, rising = list(np.linspace(0.9, 0.5, 10)), list(np.linspace(11.0, 49.0, 10))
    (note,) = judge(loss_per_dimension=loss, redundancy_per_dimension=rising).notes
    assert note.startswith(
        "The redundancy term rose from 11 to 49 per dimension while the loss fell from 0.9 to 0.5, which is no fault."
    )
    assert judge(loss_per_dimension=loss, redundancy_per_dimension=rising[::-1]).notes == ()
    assert judge(loss_per_dimension=loss[::-1], redundancy_per_dimension=rising).notes == ()
