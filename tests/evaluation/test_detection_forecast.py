"""How long a training of a detector takes is told before it starts."""

import logging
import re

import pytest
import tensorflow as tf

from barlowtf.evaluation import choose_variant, detecting, open_protocol
from barlowtf.models import make_encoder
from barlowtf.models.detector import Detector, split_encoder
from barlowtf.models.resnet import detector_cut


def forecast(caplog, overrides):
    settings = choose_variant(open_protocol("detection"), "voc-detection", overrides).settings
    encoder = make_encoder("resnet10_w0p0625", image_shape=(32, 32, 1))
    detector = Detector(
        split_encoder(encoder, *detector_cut(encoder)),
        2,
        settings.detector,
        prepare=lambda images: tf.cast(images, tf.float32),
    )
    with caplog.at_level(logging.INFO, logger="barlowtf"):
        detecting.foretell_training(detector, settings, 1)
    return [record.getMessage() for record in caplog.records]


SMALL_IMAGES = ["short_sides=[32]", "test_short_side=32", "candidates=[20,20]", "proposals=[8,8]"]


def test_large_trainings_are_foretold(caplog):
    (line,) = forecast(caplog, [*SMALL_IMAGES, "steps=10000000", "batch_size=8"])
    assert re.fullmatch(
        r"Training of 20,000,000 steps of 8 images takes about [\d,]+ (days|hours), by the time of one image\. "
        r"For a try: --variant small\.",
        line,
    )


def test_short_trainings_are_not(caplog):
    assert forecast(caplog, [*SMALL_IMAGES, "steps=4"]) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(20, "1 min"), (600, "10 min"), (7_100, "118 min"), (7_200, "2 hours"), (172_800, "2 days"), (4e9, "46,296 days")],
)
def test_durations(seconds, text):
    assert detecting._duration(seconds) == text
