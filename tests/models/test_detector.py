"""A detector on an encoder's stages: its parts, its training step, padding, replicas, and images without objects."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf import augment
from barlowtf.detection import Detections, Truths, coco_box_scores, coco_mask_scores, encode_runs, paste_masks
from barlowtf.models import make_encoder
from barlowtf.models.detector import DetectionBatch, Detector, DetectorSettings, split_encoder
from barlowtf.models.layers import Layers
from barlowtf.models.resnet import detector_cut
from barlowtf.optim import MomentumSGD
from barlowtf.train.loop import compile_step
from tests.weights import randomized

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SETTINGS = DetectorSettings(
    anchor_sizes=(16.0, 32.0),
    anchors_sampled=16,
    candidates=(40, 30),
    proposals=(20, 12),
    regions=16,
    detections=10,
    score=0.01,
)
NAME, SIDE, PLACES = "resnet10_w0p0625", 64, 3


def encoder_of(name=NAME, seed=3, **options):
    return make_encoder(name, **{"image_shape": (None, None, 3), "stem": "imagenet", "seed": seed, **options})


def parts_of(encoder):
    return split_encoder(encoder, *detector_cut(encoder))


def small_parts():
    """Two convolutions: a step of a ResNet takes several times as long to trace."""
    layers = Layers("float32", 0)
    images = keras.Input((None, None, 3))
    x = layers.normalization(layers.convolution(images, 8, 17, 16, name="conv1"), name="bn1")
    x = layers.relu(x, name="last_of_trunk")
    x = layers.normalization(layers.convolution(x, 16, 3, 2, name="conv2"), name="bn2")
    x = layers.relu(x, name="last_of_head")
    encoder = randomized(keras.Model(images, keras.layers.GlobalAveragePooling2D()(x)))
    return split_encoder(encoder, "last_of_trunk", "last_of_head")


def detector_of(parts=None, *, masks=True, classes=2, settings=SETTINGS):
    detector = Detector(
        parts or small_parts(),
        classes,
        settings,
        masks=masks,
        prepare=lambda images: tf.cast(images, tf.float32) / 128.0 - 1.0,
        seed=4,
    )
    detector.compile(MomentumSGD(0.05))
    detector.optimizer.build(detector.trainable_variables)
    return detector


def batch_of(count=4, *, side=SIDE, objects=2, masks=True, seed=0):
    r = np.random.default_rng(seed)
    corners = r.uniform(0, 30, (count, PLACES, 2))
    boxes = np.concatenate([corners, corners + r.uniform(12, 30, (count, PLACES, 2))], axis=-1)
    return DetectionBatch(
        np.pad(r.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8), [(0, 0), *[(0, side - SIDE)] * 2, (0, 0)]),
        np.full((count, 2), SIDE, np.float32),
        boxes.astype("f4"),
        r.integers(0, 2, (count, PLACES)).astype("i4"),
        np.arange(PLACES) < np.full((count, 1), objects),
        r.uniform(size=(count, PLACES, 28, 28)) < 0.5 if masks else np.zeros((count, PLACES, 0, 0), bool),
        augment.example_seeds(7, tf.constant(0, tf.int64), tf.range(count, dtype=tf.int64)).numpy(),
    )


def constants(batch):
    return DetectionBatch(*map(tf.constant, batch))


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


@pytest.mark.slow
def test_four_images_are_learned_by_heart():
    """Colored rectangles and ellipses on noise: what a detector cannot overfit it cannot learn."""
    side, classes, r = 96, 2, np.random.default_rng(0)
    images = r.integers(90, 130, (4, side, side, 3), np.uint8)
    boxes, labels, small, truths = (
        np.zeros((4, 2, 4), "f4"),
        np.zeros((4, 2), "i4"),
        np.zeros((4, 2, 112, 112), bool),
        [],
    )
    at = (np.arange(112) + 0.5) / 56 - 1
    y, x = np.mgrid[:side, :side] + 0.5
    for image in range(4):
        for place in range(2):
            width, height = r.integers(24, 40, 2)
            left, top = r.integers(0, 48 - width // 2) + 0, 48 * place + r.integers(0, 48 - height + 1)
            box = np.float32([left, top, left + width, top + height])
            label = int(r.integers(0, 2))
            u, v = (x - left) / width * 2 - 1, (y - top) / height * 2 - 1
            bits = (np.maximum(abs(u), abs(v)) if label else u**2 + v**2) <= 1
            images[image][bits] = [[230, 40, 40], [40, 40, 230]][label]
            boxes[image, place], labels[image, place] = box, label
            small[image, place] = True if label else at[:, None] ** 2 + at**2 <= 1
            truths.append((image, label, box, encode_runs(bits)))
    extents = np.full((4, 2), side, "f4")
    encoder = encoder_of("resnet10_w0p25", dtype="mixed_bfloat16")
    settings = DetectorSettings(
        anchor_sizes=(24.0, 40.0),
        anchors_sampled=32,
        candidates=(200, 100),
        proposals=(60, 30),
        regions=24,
        detections=10,
    )
    detector = detector_of(parts_of(encoder), classes=classes, settings=settings)
    detector.optimizer.learning_rate = 0.02
    step, detect = tf.function(detector.training_logs), tf.function(detector.detect)
    scores = None
    for number in range(600):
        seeds = augment.example_seeds(7, tf.constant(number, tf.int64), tf.range(4, dtype=tf.int64))
        batch = DetectionBatch(images, extents, boxes, labels, np.ones((4, 2), bool), small, seeds)
        step(constants(batch))
        if number % 50 == 49:
            scores = average_precisions(truths, *detect(tf.constant(images), tf.constant(extents)), side)
            if scores[0] > 0.9 and scores[1] > 0.85:
                return
    pytest.fail(f"AP50 of boxes and masks: {scores}")


def average_precisions(truths, found, masks, side):
    image, category, boxes, runs = zip(*truths, strict=True)
    valid = found.valid.numpy()
    pasted = paste_masks(masks.numpy()[valid], found.boxes.numpy()[valid], height=side, width=side).numpy()
    detections = Detections(
        image=np.nonzero(valid)[0],
        category=found.labels.numpy()[valid],
        boxes=np.float64(found.boxes.numpy()[valid]),
        scores=np.float64(found.scores.numpy()[valid]),
        masks=[encode_runs(bits) for bits in pasted],
    )
    nothing = np.zeros(len(truths), bool)
    areas = np.array([one.counts[1::2].sum() for one in runs], "f8")
    objects = Truths(np.array(image), np.array(category), np.float64(boxes), nothing, nothing, areas, list(runs))
    return [
        score(objects, detections, images=range(4), categories=range(2)).ap50
        for score in (coco_box_scores, coco_mask_scores)
    ]
