"""What stands between the detector and its protocols: its optimizer, and detections in pixels of the images."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import open_objects
from barlowtf.data.rendering import EIGHT_BITS
from barlowtf.detection import decode_runs
from barlowtf.errors import ConfigError
from barlowtf.evaluation import detecting
from barlowtf.evaluation.detection_scores import box_scores, mask_scores
from barlowtf.evaluation.detection_settings import SMALL, DetectionSettings
from barlowtf.models import make_encoder
from barlowtf.models.detector import FoundObjects
from barlowtf.models.encoder import find_kind
from tests.data.objects_on_disk import coco, thing, write_coco, write_image

SETTINGS = DetectionSettings(**{**SMALL, "short_sides": (32,), "test_short_side": 32, "longest": 64})


def encoder_of(name="resnet10_w0p0625", **options):
    model = make_encoder(name, image_shape=(32, 32, 3), **options)
    return SimpleNamespace(
        model=model,
        family=find_kind(name),
        name=name,
        normalize=tf.identity,
        image_shape=(32, 32, 3),
        rendering=EIGHT_BITS,
    )


def test_the_optimizer_follows_the_batch_and_decays_no_normalization():
    settings = SETTINGS.model_copy(update={"batch_size": 1, "drops": (100, 200), "warmup_share": 0.5})
    task = SimpleNamespace(encoder=encoder_of(), settings=settings, seed=3, splits=SimpleNamespace(class_count=4))
    detector = detecting.make_detector(task, masks=True)
    decayed = {v.path for v in detector.trainable_variables} - set(detector.optimizer.undecayed)
    assert {path.rpartition("/")[2] for path in decayed} == {"kernel", "bias"}
    assert {path.rpartition("/")[2] for path in detector.optimizer.undecayed} == {"gamma", "beta"}
    assert any("head_normalization" in path for path in detector.optimizer.undecayed)
    schedule = detector.optimizer._learning_rate
    # Half the images of an update: half the rate, 0.02 / 2, and twice the updates.
    assert [float(schedule(step)) for step in (0, 80, 199, 200, 400)] == pytest.approx([5e-3, 1e-2, 1e-2, 1e-3, 1e-4])


def test_an_encoder_without_stages_is_refused():
    with pytest.raises(ConfigError, match="which has no stages conv4 and conv5, expected a ResNet"):
        detecting.require_stages(encoder_of("vit_ti16"))


@pytest.fixture
def scenes(tmp_path):
    square = [[2, 1, 8, 1, 8, 5, 2, 5]]
    write_coco(tmp_path, coco([thing(11, 7, (2, 1, 6, 4), segmentation=square, area=24)], images=("a.png", "b.png")))
    for name, shade in (("a", 50), ("b", 150)):
        write_image(tmp_path / "train2017" / f"{name}.png", shade=shade)
    return open_objects(str(tmp_path), "train")  # 20 x 10 pixels, which become 64 x 32


def found_in(scenes, box, *, masks=True, valid=True):
    """What `find_all` makes of one box with a full mask, found in the second image."""
    seen = []

    def detect(images, extents):
        seen.append(images.shape)
        there = tf.reduce_max(images) > 100  # the second image is the lighter one
        found = FoundObjects(
            tf.constant([[box, [0.0, 0.0, 9.0, 9.0]]]),
            tf.constant([[1, 0]]),
            tf.constant([[0.9, 0.0]]),
            tf.stack([[there & valid, False]]),
        )
        return found, tf.ones([1, 2, 14, 14] if masks else [1, 2, 0, 0])

    detector = SimpleNamespace(detect=detect, mask_head=object() if masks else None)
    found = detecting.find_all(detector, scenes, encoder_of(), SETTINGS)
    assert seen == [(1, 32, 64, 3)], "traced once"
    return found


def test_detections_are_in_pixels_of_the_images(scenes):
    # 64 / 20 and 32 / 10 pixels for each pixel of the image.
    found = found_in(scenes, [6.4, 3.2, 25.6, 16.0])
    assert found.image.tolist() == [1] and found.category.tolist() == [1]
    np.testing.assert_allclose(found.boxes, [[2, 1, 8, 5]], atol=1e-5)
    assert found.scores[0] == pytest.approx(0.9)
    bits = np.zeros((10, 20), bool)
    bits[1:5, 2:8] = True
    np.testing.assert_array_equal(decode_runs(found.masks[0]), bits)


def test_scores_of_a_perfect_detector_and_of_none(scenes):
    pytest.importorskip("pycocotools")
    found = found_in(scenes, [6.4, 3.2, 25.6, 16.0])
    for measure in ("voc", "coco"):
        scores, by_class = box_scores(scenes, found, measure=measure)
        assert [scores[name] for name in ("ap", "ap50", "ap75")] == pytest.approx([1.0] * 3)
        assert by_class[0] is None and by_class[1] == pytest.approx(1.0), "no ant is in the images"
    assert mask_scores(scenes, found)[0]["ap"] == pytest.approx(1.0)
    nothing = found_in(scenes, [6.4, 3.2, 25.6, 16.0], valid=False)
    assert nothing.boxes.shape == (0, 4) and nothing.masks == []
    for measure in ("voc", "coco"):
        assert box_scores(scenes, nothing, measure=measure)[0]["ap"] == 0.0
    assert found_in(scenes, [6.4, 3.2, 25.6, 16.0], masks=False).masks is None
