"""A detector on an encoder's stages: its parts, its training step, padding, replicas, and images without objects."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models.detector import DetectionBatch, DetectorSettings, split_encoder
from barlowtf.train.loop import compile_step
from tests.models.detectors import PLACES, SIDE, batch_of, constants, detector_of, encoder_of, parts_of
from tests.weights import randomized

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize(
    ("options", "stride"),
    [
        ({}, 16),
        ({"image_shape": (64, 64, 3)}, 16),
        ({"dtype": "mixed_bfloat16"}, 16),
        ({"stem": "small"}, 4),
        ({"name": "resnet50_w0p0625"}, 16),
    ],
)
def test_trunk_and_head_are_the_encoder(options, stride, tmp_path):
    encoder = randomized(encoder_of(**options))
    trunk, head, found = parts_of(encoder)
    assert found == stride
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype("f4")
    features = tf.reduce_mean(tf.cast(head(trunk(images, training=False), training=False), tf.float32), axis=[1, 2])
    # The mean of bfloat16 features in float32, where the encoder rounds it again: 2**-8 of the value.
    tolerance = 1e-2 if "dtype" in options else 1e-5
    np.testing.assert_allclose(features, encoder(images, training=False), rtol=tolerance, atol=tolerance)
    assert {id(weight) for weight in encoder.weights} == {id(weight) for weight in [*trunk.weights, *head.weights]}
    assert trunk(np.zeros((1, 70, 90, 3), "f4")).shape[1:3] == (-(-70 // stride), -(-90 // stride))
    assert head(np.zeros((3, 14, 14, head.input_shape[-1]), "f4")).shape[:3] == (3, 7, 7)


def test_a_file_splits_as_what_was_saved(tmp_path):
    encoder = randomized(encoder_of())
    encoder.save(tmp_path / "encoder.keras")
    again = keras.models.load_model(tmp_path / "encoder.keras")
    images = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype("f4")
    one, two = (parts_of(model) for model in (encoder, again))
    np.testing.assert_array_equal(one.head(one.trunk(images)), two.head(two.trunk(images)))
    with pytest.raises(ValueError, match="No such layer"):
        split_encoder(encoder, "layer9_0_relu", "layer4_0_relu")


@pytest.fixture(scope="module")
def start():
    """A detector that no test trains, and its detection in a compiled function."""
    detector = detector_of()
    return detector, tf.function(detector.detect)


@pytest.fixture(scope="module")
def compiled():
    """A detector, its compiled step, and what it starts from."""
    detector = detector_of()
    return detector, tf.function(detector.training_logs), [w.numpy() for w in _state(detector)]


@pytest.fixture
def fresh(compiled):
    """A detector that has not been trained, and its step: tracing one takes seconds."""
    detector, step, values = compiled
    for variable, value in zip(_state(detector), values, strict=True):
        variable.assign(value)
    return detector, step


def _state(detector):
    return [*detector.variables, *detector.optimizer.variables]


def test_terms_add_up_and_all_weights_learn(fresh):
    detector, step = fresh
    before = {weight.path: weight.numpy() for weight in detector.trainable_variables}
    logs = step(constants(batch_of()))
    terms = [float(logs[name]) for name in ("proposal_class", "proposal_box", "class", "box", "mask")]
    assert float(logs["loss"]) == pytest.approx(sum(terms), rel=1e-6) and min(terms) > 0
    # At first: ln 2 for objectness and each pixel, ln 3 for two classes and background.
    assert terms[0] == pytest.approx(np.log(2), rel=0.1) and terms[4] == pytest.approx(np.log(2), rel=0.1)
    assert terms[2] == pytest.approx(np.log(3), rel=0.1)
    assert float(logs["first_nonfinite"]) == -1.0
    assert not [w.path for w in detector.trainable_variables if np.array_equal(w.numpy(), before[w.path])]


def test_empty_places_do_not_count_and_each_object_has_its_own_mask(fresh):
    detector, step = fresh
    full, filled, other = batch_of(), batch_of(), batch_of()
    filled.boxes[:, 2:], filled.labels[:, 2:], filled.masks[:, 2:] = np.float32([5, 5, 60, 60]), 1, True
    other.masks[:, 1] ^= True  # of the second of two objects
    before = [variable.numpy() for variable in _state(detector)]
    logs = []
    for batch in (full, filled, other):
        for variable, value in zip(_state(detector), before, strict=True):
            variable.assign(value)
        logs.append({name: float(value) for name, value in step(constants(batch)).items()})
    assert logs[0] == logs[1]
    assert {name for name, value in logs[2].items() if value != logs[0][name]} == {"mask", "loss"}


def test_images_without_objects_train(fresh):
    detector, step = fresh
    mixed, without = batch_of(), batch_of(objects=0)
    mixed.valid[0] = False
    for batch in (without, mixed, without):
        logs = step(constants(batch))
        assert float(logs["first_nonfinite"]) == -1.0 and float(logs["class"]) > 0
        assert (float(logs["box"]) == 0) == (float(logs["mask"]) == 0) == (batch is without)
    assert all(np.isfinite(weight.numpy()).all() for weight in detector.weights)


def test_one_class_without_masks():
    detector = detector_of(masks=False, classes=1)
    batch = batch_of(2, masks=False)
    batch.labels[:] = 0
    logs = detector.training_logs(constants(batch))
    assert float(logs["first_nonfinite"]) == -1.0 and float(logs["box"]) > 0 and "mask" not in logs
    found, shown = detector.detect(tf.constant(batch.images), tf.constant(batch.extents))
    assert set(found.labels.numpy().ravel()) == {0} and shown.shape == (2, 10, 0, 0)


def test_a_loss_that_is_not_finite_is_named(fresh):
    detector, step = fresh
    detector.box_head.get_layer("boxes").bias.assign([np.nan] * 8)
    logs = step(constants(batch_of()))
    assert detector.checked_names[int(logs["first_nonfinite"])] == "box"


def test_replicas_make_the_same_update(two_replicas):
    batch = batch_of()
    # An image with no object and one with three: the replicas have different numbers of positives.
    batch.valid[:] = np.arange(PLACES) < np.array([[0], [2], [1], [3]])
    alone = detector_of()
    expected = compile_step(alone, tf.distribute.get_strategy(), xla=False)(constants(batch))
    with two_replicas.scope():
        mirrored = detector_of()
    shares = DetectionBatch(
        *(
            two_replicas.experimental_distribute_values_from_function(
                lambda context, part=part: tf.constant(part[context.replica_id_in_sync_group :: 2])
            )
            for part in batch
        )
    )
    logs = compile_step(mirrored, two_replicas, xla=False)(shares)
    for name, value in expected.items():
        assert float(logs[name]) == pytest.approx(float(value), rel=1e-4), name
    start = detector_of().weights
    for first, one, two in zip(start, alone.weights, mirrored.weights, strict=True):
        # float32 sums in another order, behind batch statistics: what counts is how far a weight went.
        limit = max(1e-6, 0.01 * np.abs(one.numpy() - first.numpy()).max())
        np.testing.assert_allclose(two.numpy(), one.numpy(), rtol=0, atol=limit, err_msg=one.path)


def test_padding_is_never_looked_at(start):
    detector, detect = start
    batch = batch_of()
    extents = np.float32([[40, 56], [64, 33], [64, 64], [40, 40]])
    for image, (height, width) in zip(batch.images, extents.astype(int), strict=True):
        image[height:], image[:, width:] = 255, 255
    found, masks = detect(tf.constant(batch.images), tf.constant(extents))
    outside = np.stack([np.logical_or.outer(*(np.arange(SIDE) >= side for side in extent)) for extent in extents])
    other = np.where(outside[..., None], np.uint8(9), batch.images)
    again, other_masks = detect(tf.constant(other), tf.constant(extents))
    for one, two in zip((*found, masks), (*again, other_masks), strict=True):
        np.testing.assert_array_equal(one, two)
    valid = found.valid.numpy()
    assert valid.sum() > 6
    for boxes, there, (height, width) in zip(found.boxes.numpy(), valid, extents, strict=True):
        assert (boxes[there] >= 0).all() and (boxes[there] <= [width, height, width, height]).all()


def test_features_of_a_larger_canvas_are_those_of_the_image_where_no_convolution_sees_its_border():
    """In inference; in training a normalization's statistics are those of the padded batch, as in detectron2."""
    detector = detector_of(parts_of(randomized(encoder_of())))
    images = np.random.default_rng(1).integers(0, 256, (1, 256, 256, 3), np.uint8)
    wide = np.pad(images, [(0, 0), (0, 64), (0, 32), (0, 0)])
    extents = tf.constant([[256.0, 256.0]])
    one, two = (
        detector.trunk(detector._normalized(tf.constant(pixels), extents), training=False).numpy()
        for pixels in (images, wide)
    )
    assert one.shape[1:3] == (16, 16) and two.shape[1:3] == (20, 18)
    # A pixel of conv4 of a ResNet-10 sees 91 pixels of the image, less than three cells on each side. Five are left
    # out: padding is 0 where a canvas ends, and what a normalization makes of 0 where it goes on.
    np.testing.assert_allclose(two[:, :11, :11], one[:, :11, :11], atol=1e-5)
    assert not np.allclose(two[:, :16, :16], one, atol=1e-5)


def test_detections_of_an_image_do_not_depend_on_its_batch(start):
    detector, detect = start
    batch = batch_of(4)
    together, masks = detect(tf.constant(batch.images), tf.constant(batch.extents))
    alone, own = detector.detect(tf.constant(batch.images[2:3]), tf.constant(batch.extents[2:3]))
    for one, two in zip((*together, masks), (*alone, own), strict=True):
        np.testing.assert_allclose(one[2:3], two, rtol=1e-4, atol=1e-3)  # pixels; float32 sums in another order
    scores = together.scores.numpy()
    assert (np.diff(np.where(together.valid, scores, 0.0)) <= 0).all() and scores[together.valid].min() > 0.01
    assert (masks.numpy() >= 0).all() and (masks.numpy() <= 1).all()


def test_many_regions_go_through_the_head_in_parts(start, monkeypatch):
    detector, detect = start
    images, extents = tf.constant(batch_of().images), tf.constant(batch_of().extents)
    whole = detect(images, extents)
    monkeypatch.setattr("barlowtf.models.detector.detector._REGIONS_AT_ONCE", 5)
    parts = detector.detect(images, extents)
    for one, two in zip(tf.nest.flatten(whole), tf.nest.flatten(parts), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)  # pixels; float32 sums in another order


def test_nothing_is_found_where_no_score_reaches_the_threshold():
    settings = DetectorSettings(
        anchor_sizes=(16.0,), candidates=(9, 9), proposals=(5, 5), regions=4, detections=3, score=0.99
    )
    detector = detector_of(settings=settings)
    found, masks = detector.detect(tf.constant(batch_of(1).images), tf.constant(batch_of(1).extents))
    assert not found.valid.numpy().any() and masks.shape == (1, 3, 14, 14) and np.isfinite(masks.numpy()).all()


def test_a_class_at_least():
    with pytest.raises(ValueError, match="Invalid classes: received 0, expected at least 1"):
        detector_of(classes=0)
