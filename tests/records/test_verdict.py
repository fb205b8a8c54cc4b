"""Whether pre-training was worth it: each sentence provoked, chance told from a gain."""

import pytest

from barlowtf.records import judge
from tests.result_records import make_data, make_encoder_facts, make_result

KNN = {"protocol": "knn", "variant": "barlowtf", "subset": None}


def _measured(trained, control, *, label="pixels", images=1000, **changes):
    data = make_data(test_images=images)
    return [
        make_result(top1=trained, data=data, **{**KNN, **changes}),
        make_result(label, top1=control, data=data, **{**KNN, **changes}),
    ]


@pytest.mark.parametrize(
    ("trained", "control", "sentence"),
    [
        (0.90, 0.80, "Pre-training helped: knn 90.0 against 80.0 (pixels), percent of 1,000 test images."),
        (
            0.944,
            0.944,
            "Pre-training gained nothing here: knn 94.4 against 94.4 (pixels). On 1,000 test images less than 2.1 "
            "points may be chance.",
        ),
        (0.81, 0.80, "Pre-training gained nothing here: knn 81.0 against 80.0 (pixels)"),
        (0.70, 0.80, "Pre-training lost: knn 70.0 against 80.0 (pixels), percent of 1,000 test images. Use the"),
    ],
)
def test_one_protocol(trained, control, sentence):
    (told,) = judge(_measured(trained, control))
    assert told.startswith(sentence)


def test_the_better_control_counts():
    (told,) = judge(_measured(0.9, 0.8) + _measured(0.9, 0.85, label="random"))
    assert "knn 90.0 against 85.0 (random)" in told


@pytest.mark.parametrize(
    ("trained", "told"),
    [
        (
            0.801,
            "Pre-training is better than no training but no better than the pixels: knn 80.1 against 50.0 (random) and "
            "80.0 (pixels). On 1,000 test images less than 3.6 points may be chance.",
        ),
        (
            0.70,
            "Pre-training is better than no training but worse than the pixels: knn 70.0 against 50.0 (random) and "
            "80.0 (pixels), percent of 1,000 test images. Use the control.",
        ),
        (0.51, "Pre-training lost: knn 51.0 against 80.0 (pixels), percent of 1,000 test images. Use the control."),
    ],
)
def test_no_better_than_pixels_may_still_be_better_than_no_training(trained, told):
    assert judge(_measured(trained, 0.8) + _measured(trained, 0.5, label="random")) == (told,)


def test_protocols_that_disagree_are_told_apart():
    (told,) = judge(_measured(0.9, 0.8) + _measured(0.5, 0.5, protocol="linear-fast"))
    assert told == (
        "Pre-training helped: knn 90.0 against 80.0 (pixels); gained nothing: linear-fast 50.0 against 50.0 (pixels); "
        "1,000 test images."
    )


def test_more_images_show_smaller_gains():
    """Two points are chance on 1,000 images and a gain on 10,000."""
    assert "gained nothing" in judge(_measured(0.82, 0.80))[0]
    assert "helped" in judge(_measured(0.82, 0.80, images=10_000))[0]


def test_what_may_be_chance_among_few_images():
    # Two standard errors of the difference of two shares of 16 of 32, by the shares of 30: 2 (0.5 / 32)^0.5 32/30.
    (told,) = judge(_measured(0.5, 0.5, images=30))
    assert told.endswith("On 30 test images less than 26.7 points may be chance.")


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_equal_scores_at_the_ends_are_no_gain(share):
    """All images right, or none: nothing is better than no training, and the interval is not 0."""
    results = _measured(share, share, label="random", images=8)
    results.append(make_result("pixels", top1=share / 2, data=make_data(test_images=8), **KNN))
    (told,) = judge(results)
    score = f"{100 * share:.1f}"
    # 2 (2 * 0.9 * 0.1 / 10)^0.5 10/8, by Agresti and Caffo.
    assert told == (
        f"Pre-training gained nothing here: knn {score} against {score} (random). On 8 test images less than 33.5 "
        "points may be chance."
    )


@pytest.mark.parametrize("images", [1, 2])
def test_one_image_and_two_show_nothing(images):
    (sentence,) = judge(_measured(1.0, 0.0, images=images))
    assert sentence.startswith("Pre-training gained nothing here: knn 100.0 against 0.0 (pixels). On ")
    assert sentence.endswith("any difference may be chance.")


def test_parts_that_are_held_out_in_turn_add_up():
    data = make_data(test_images=200, held_out=0.2, train_images=800)
    results = []
    for seed in range(5):
        results.append(make_result(top1=0.85, seed=seed, data=data, labels=800 + seed % 2, **KNN))
        results.append(make_result("pixels", top1=0.80, seed=seed, data=data, labels=800 + seed % 2, **KNN))
    (told,) = judge(results)
    assert told == "Pre-training helped: knn 85.0 against 80.0 (pixels), percent of 1,000 test images."


def test_each_encoder_has_its_sentence_and_no_control_has_none():
    second = make_result(top1=0.5, encoder=make_encoder_facts("runs/b", sha256="2" * 64), **KNN)
    assert judge([make_result(**KNN), second]) == ()
    data = make_data(test_images=1000)
    second = make_result(top1=0.5, encoder=make_encoder_facts("runs/b", sha256="2" * 64), data=data, **KNN)
    told = judge([*_measured(0.9, 0.8), second])
    assert [text.partition(":")[0] for text in told] == ["runs/a", "runs/b"]
    assert "lost" in told[1]
