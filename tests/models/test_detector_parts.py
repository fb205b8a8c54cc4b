"""Parts of a detector against oracles written by hand: proposals, regions, masks, detections."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.detection import polygons_within_box
from barlowtf.models.detector import DetectorSettings
from barlowtf.models.detector.mask_head import mask_loss, mask_targets, of_class
from barlowtf.models.detector.proposals import Proposals, flat_outputs, proposal_losses, propose
from barlowtf.models.detector.regions import Regions, choose_regions, find_objects, region_losses
from tests.detection.records import iou_by_hand, random_boxes
from tests.detection.test_matching import match_by_hand
from tests.detection.test_suppression import suppress_by_hand

CLASSES = 3
SETTINGS = DetectorSettings(
    anchors_sampled=12, candidates=(30, 20), proposals=(9, 6), regions=8, detections=7, score=0.2
)


def overlaps_by_hand(truths, boxes):
    return np.array([[iou_by_hand(truth, box) for box in boxes] for truth in truths])


def deltas_by_hand(box, target, weights):
    (x1, y1, x2, y2), (u1, v1, u2, v2) = np.float64(box), np.float64(target)
    width, height = x2 - x1, y2 - y1
    moves = (u1 + u2 - x1 - x2) / 2 / width, (v1 + v2 - y1 - y2) / 2 / height
    return np.multiply((*moves, np.log((u2 - u1) / width), np.log((v2 - v1) / height)), weights)


def moved_by_hand(box, deltas, weights, extent):
    """The box that deltas make of another one, cut to the image."""
    (x1, y1, x2, y2), (dx, dy, dw, dh) = np.float64(box), np.float64(deltas) / weights
    width, height = x2 - x1, y2 - y1
    x, y = (x1 + x2) / 2 + dx * width, (y1 + y2) / 2 + dy * height
    width, height = width * min(np.exp(dw), 62.5), height * min(np.exp(dh), 62.5)
    moved = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    return np.clip(moved, 0, [extent[1], extent[0], extent[1], extent[0]])


def sample_by_hand(labels, keys, count, most_positives):
    """The boxes of the smallest keys: positives first."""
    by_key = np.argsort(keys, kind="stable")
    positives = [box for box in by_key if labels[box] == 1][:most_positives]
    negatives = [box for box in by_key if labels[box] == 0][: count - len(positives)]
    return positives, negatives


def inside(anchor, extent):
    return (anchor[1] + anchor[3]) / 2 < extent[0] and (anchor[0] + anchor[2]) / 2 < extent[1]


@pytest.fixture(scope="module")
def scene():
    """Three images with 4, 1 and no objects on canvases of 100 x 100 pixels, two of them with padding."""
    r = np.random.default_rng(3)
    anchors = np.concatenate([random_boxes(r, 60), random_boxes(r, 60) + np.float32([60, 0, 60, 0])])
    boxes = random_boxes(r, 3, 4, extent=60.0)
    anchors[:4], anchors[4:8] = boxes[0] + np.float32(1.0), boxes[0]
    extents = np.float32([[100, 100], [64, 80], [70, 60]])
    valid = np.arange(4) < np.array([[4], [1], [0]])
    keys = r.permutation(3 * 120).reshape(3, 120).astype("f4") / 512
    logits, deltas = r.normal(0, 1, (3, 120)).astype("f4"), r.normal(0, 0.3, (3, 120, 4)).astype("f4")
    return anchors, boxes, extents, valid, keys, logits, deltas


def proposal_losses_by_hand(anchors, boxes, extents, valid, keys, logits, deltas):
    entropy, distance = 0.0, 0.0
    gradients = np.zeros(logits.shape), np.zeros(deltas.shape)
    for image, extent in enumerate(extents):
        there = np.array([inside(anchor, extent) for anchor in anchors])
        overlaps = overlaps_by_hand(boxes[image], anchors) * there
        index, label = match_by_hand(overlaps, valid[image], 0.3, 0.7, True)
        label = np.where(there, label, -1)
        positives, negatives = sample_by_hand(label, keys[image], 12, 6)
        for anchor in (*positives, *negatives):
            sign, logit = (1 if anchor in positives else -1), np.float64(logits[image, anchor])
            entropy += np.log1p(np.exp(-sign * logit))
            gradients[0][image, anchor] = -sign / (1 + np.exp(sign * logit))
        for anchor in positives:
            goal = deltas_by_hand(anchors[anchor], boxes[image, index[anchor]], (1, 1, 1, 1))
            distance += np.abs(deltas[image, anchor] - goal).sum()
            gradients[1][image, anchor] = np.sign(deltas[image, anchor] - goal)
    return (entropy, distance), gradients


@pytest.mark.parametrize("jit_compile", [False, True])
def test_proposal_losses_and_gradients_equal_those_by_hand(scene, jit_compile):
    anchors, boxes, extents, valid, keys, logits, deltas = map(tf.constant, scene)

    @tf.function(jit_compile=jit_compile)
    def losses_and_gradients(logits, deltas):
        with tf.GradientTape() as tape:
            tape.watch((logits, deltas))
            losses = proposal_losses(anchors, logits, deltas, extents, boxes, valid, keys, SETTINGS)
            total = tf.add_n(losses)
        return losses, tape.gradient(total, (logits, deltas))

    losses, gradients = losses_and_gradients(logits, deltas)
    expected, by_hand = proposal_losses_by_hand(*scene)
    # float32 sums of up to 36 terms; deltas are logarithms of extents.
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for found, right in zip(gradients, by_hand, strict=True):
        np.testing.assert_allclose(found, right, atol=1e-6)
    assert np.abs(by_hand[1]).sum() > 4, "objects have positive anchors"


def test_an_anchor_in_the_padding_takes_no_object_from_one_inside():
    """Whatever canvas an image lies on, its anchors learn the same."""
    anchors = tf.constant([[0.0, 0, 30, 30], [35, 0, 65, 30]])  # the second is centered at x = 50
    boxes, valid = tf.constant([[[26.0, 0, 44, 20]]]), tf.constant([[True]])
    logits, deltas, keys = tf.zeros([1, 2]), tf.zeros([1, 2, 4]), tf.constant([[0.1, 0.2]])

    def losses(width, count):
        shares = anchors[:count], logits[:, :count], deltas[:, :count]
        return proposal_losses(*shares, tf.constant([[50.0, width]]), boxes, valid, keys[:, :count], SETTINGS)

    narrow, alone, wide = losses(45.0, 2), losses(45.0, 1), losses(90.0, 2)
    np.testing.assert_array_equal(narrow, alone)
    assert float(narrow[1]) > 0 and float(wide[1]) != float(narrow[1])


@pytest.mark.parametrize("training", [True, False])
def test_proposals_equal_those_by_hand(scene, training):
    anchors, _, extents, _, _, logits, deltas = scene
    found = propose(*map(tf.constant, (anchors, logits, deltas, extents)), SETTINGS, training=training)
    candidates, count = (30, 9) if training else (20, 6)
    for image, extent in enumerate(extents):
        there = [number for number, anchor in enumerate(anchors) if inside(anchor, extent)]
        best = sorted(there, key=lambda number: -logits[image, number])[:candidates]
        boxes = np.array([moved_by_hand(anchors[number], deltas[image, number], 1.0, extent) for number in best])
        usable = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        chosen = suppress_by_hand(boxes, logits[image, best], np.zeros(len(best)), usable, 0.7, count)
        assert found.valid[image].numpy().sum() == len(chosen) > 3
        np.testing.assert_allclose(found.boxes[image, : len(chosen)], boxes[chosen], rtol=1e-5, atol=1e-4)


def test_proposals_have_no_gradient_and_none_is_there_where_all_lie_outside(scene):
    anchors, _, extents, _, _, logits, deltas = map(tf.constant, scene)
    with tf.GradientTape() as tape:
        tape.watch((logits, deltas))
        total = tf.reduce_sum(propose(anchors, logits, deltas, extents, SETTINGS, training=True).boxes)
    assert tape.gradient(total, (logits, deltas)) == (None, None)
    found = propose(anchors + 500.0, logits, deltas, extents, SETTINGS, training=True)
    assert not found.valid.numpy().any()


def test_outputs_lie_in_the_order_of_the_anchors():
    logits, deltas = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2), np.arange(2 * 3 * 4 * 8).reshape(2, 3, 4, 8)
    flat, moves = flat_outputs(tf.constant(logits), tf.constant(deltas))
    for image, row, column, anchor in ((0, 0, 0, 1), (1, 2, 3, 0), (1, 1, 2, 1)):
        place = (row * 4 + column) * 2 + anchor
        assert flat[image, place] == logits[image, row, column, anchor]
        np.testing.assert_array_equal(moves[image, place], deltas[image, row, column, 4 * anchor : 4 * anchor + 4])


@pytest.fixture(scope="module")
def drawn():
    """Proposals, objects and the regions drawn from them."""
    r = np.random.default_rng(5)
    proposals, boxes = random_boxes(r, 3, 12), random_boxes(r, 3, 4)
    proposals[:, :4] = boxes + np.float32(0.5)
    there, valid = np.arange(12) < np.array([[12], [3], [8]]), np.arange(4) < np.array([[4], [2], [0]])
    labels = np.int32(r.integers(0, CLASSES, (3, 4)))
    keys = r.permutation(48).reshape(3, 16).astype("f4") / 64
    arguments = (Proposals(tf.constant(proposals), tf.constant(there)), boxes, labels, valid, keys)
    return arguments, choose_regions(*arguments, CLASSES, SETTINGS)


def test_regions_equal_those_by_hand(drawn):
    (proposals, boxes, labels, valid, keys), found = drawn
    lacking = 0
    for image in range(3):
        everything = np.concatenate([proposals.boxes[image], boxes[image]])
        index, label = match_by_hand(overlaps_by_hand(boxes[image], everything), valid[image], 0.5, 0.5, False)
        label = np.where(np.concatenate([proposals.valid[image], valid[image]]), label, -1)
        positives, negatives = sample_by_hand(label, keys[image], 8, 2)
        chosen = [*positives, *negatives]
        lacking += 8 - len(chosen)
        np.testing.assert_array_equal(found.valid[image], np.arange(8) < len(chosen))
        np.testing.assert_array_equal(found.positive[image], np.arange(8) < len(positives))
        np.testing.assert_array_equal(found.boxes[image, : len(chosen)], everything[chosen])
        expected = [labels[image, index[box]] if box in positives else CLASSES for box in chosen]
        np.testing.assert_array_equal(found.labels[image, : len(chosen)], expected)
        np.testing.assert_array_equal(
            found.truth[image, : len(positives)], [index[box] for box in positives], err_msg="object of a region"
        )
    assert lacking, "an image has fewer regions than places"


def test_region_losses_and_gradients_equal_those_by_hand(drawn):
    (_, boxes, *_), regions = drawn
    r = np.random.default_rng(6)
    logits, deltas = r.normal(size=(24, CLASSES + 1)).astype("f4"), r.normal(size=(24, 4 * CLASSES)).astype("f4")
    inputs = tf.constant(logits), tf.constant(deltas)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        losses = region_losses(regions, *inputs, tf.constant(boxes))
        total = tf.add_n(losses)
    gradients = tape.gradient(total, inputs)
    entropy, distance, by_hand = 0.0, 0.0, (np.zeros(logits.shape), np.zeros(deltas.shape))
    flat = Regions(*(part.numpy().reshape(24, *part.shape[2:]) for part in regions))
    for place in np.flatnonzero(flat.valid):
        label, exponents = flat.labels[place], np.exp(np.float64(logits[place]))
        entropy -= np.log(exponents[label] / exponents.sum())
        by_hand[0][place] = exponents / exponents.sum() - (np.arange(CLASSES + 1) == label)
        if flat.positive[place]:
            own = slice(4 * label, 4 * label + 4)
            goal = deltas_by_hand(flat.boxes[place], boxes[place // 8, flat.truth[place]], (10, 10, 5, 5))
            distance += np.abs(deltas[place, own] - goal).sum()
            by_hand[1][place, own] = np.sign(deltas[place, own] - goal)
    np.testing.assert_allclose(losses, (entropy, distance), rtol=1e-5)  # float32 sums
    for found, right in zip(gradients, by_hand, strict=True):
        np.testing.assert_allclose(found, right, atol=1e-6)
    assert flat.positive.sum() > 2


@pytest.mark.parametrize("classes", [1, CLASSES])
def test_detections_equal_those_by_hand(classes):
    r = np.random.default_rng(classes)
    boxes, valid = random_boxes(r, 2, 30), r.uniform(size=(2, 30)) < 0.8
    extents = np.float32([[100, 90], [70, 100]])
    logits = r.normal(0, 1.5, (60, classes + 1)).astype("f4")
    deltas = r.normal(0, 1.5, (60, 4 * classes)).astype("f4")
    found = find_objects(Proposals(tf.constant(boxes), tf.constant(valid)), logits, deltas, extents, SETTINGS)
    for image in range(2):
        moved, scores, labels = [], [], []
        for place in np.flatnonzero(valid[image]):
            exponents = np.exp(np.float64(logits[30 * image + place]))
            for label in range(classes):
                score = exponents[label] / exponents.sum()
                own = deltas[30 * image + place, 4 * label : 4 * label + 4]
                box = moved_by_hand(boxes[image, place], own, (10, 10, 5, 5), extents[image])
                if score > 0.2 and box[2] > box[0] and box[3] > box[1]:
                    moved, scores, labels = [*moved, box], [*scores, score], [*labels, label]
        moved, scores, labels = map(np.array, (moved, scores, labels))
        chosen = suppress_by_hand(moved, scores, labels, np.ones(len(scores), bool), 0.5, 7)
        count = len(chosen)
        assert found.valid[image].numpy().sum() == count > 3
        np.testing.assert_allclose(found.boxes[image, :count], moved[chosen], rtol=1e-5, atol=1e-4)  # float32
        np.testing.assert_allclose(found.scores[image, :count], scores[chosen], rtol=1e-5)
        np.testing.assert_array_equal(found.labels[image, :count], labels[chosen])


def test_mask_loss_and_its_gradient_equal_those_by_hand():
    r = np.random.default_rng(7)
    logits, targets = r.normal(size=(5, 4, 4, CLASSES)).astype("f4"), r.uniform(size=(5, 4, 4)) < 0.5
    labels, positive = np.int32([2, 0, CLASSES, 1, CLASSES]), np.array([True, True, False, True, False])
    inputs = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = mask_loss(inputs, tf.constant(labels), tf.constant(targets), tf.constant(positive))
    gradient = tape.gradient(loss, inputs)
    expected, by_hand = 0.0, np.zeros(logits.shape)
    for region in np.flatnonzero(positive):
        own, sign = np.float64(logits[region, ..., labels[region]]), np.where(targets[region], 1, -1)
        expected += np.log1p(np.exp(-sign * own)).mean()
        by_hand[region, ..., labels[region]] = -sign / (1 + np.exp(sign * own)) / 16
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, by_hand, atol=1e-6)
    own = of_class(inputs, tf.constant(labels))
    for region, label in enumerate(labels):
        np.testing.assert_array_equal(own[region], logits[region, ..., min(label, CLASSES - 1)])


def within_by_hand(x, y, polygon):
    """Whether a ray to the right crosses the outline an odd number of times."""
    crossings = 0
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crossings += (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1)
    return crossings % 2 == 1


def test_targets_from_small_masks_equal_those_of_the_outline():
    """Masks within their boxes, 112 pixels wide, stand for those of the whole image."""
    r = np.random.default_rng(8)
    angle = np.linspace(0, 2 * np.pi, 9)[:-1]
    small, truths, regions, exact = [], [], [], []
    for _ in range(24):
        center, radius = r.uniform(80, 120, 2), r.uniform(15, 75, (8, 1)) * r.uniform(0.5, 1, 2)
        polygon = center + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        box = np.concatenate([polygon.min(0), polygon.max(0)])
        side = np.tile(box[2:] - box[:2], 2)
        region = box + r.uniform(-0.2, 0.2, 4) * side
        small.append(polygons_within_box([polygon.ravel()], box, size=112))
        truths.append(box)
        regions.append(region)
        x, y = (region[axis] + (np.arange(14) + 0.5) * (region[axis + 2] - region[axis]) / 14 for axis in (0, 1))
        exact.append([[within_by_hand(column, row, polygon) for column in x] for row in y])
    found = mask_targets(*map(tf.constant, (np.array(small), np.float32(truths), np.float32(regions))), size=14).numpy()
    equal = (found == np.array(exact)).mean(axis=(1, 2))
    # What differs are pixels whose center lies within a pixel of the small mask, 1/8, of the outline.
    assert equal.mean() > 0.98 and equal.min() > 0.93
    assert 0.2 < np.mean(exact) < 0.8


def test_a_mask_target_of_the_own_box_is_the_mask():
    r = np.random.default_rng(9)
    mask, box = np.kron(r.uniform(size=(14, 14)) < 0.5, np.ones((8, 8), bool)), np.float32([[3, 5, 40, 90]])
    target = mask_targets(tf.constant(mask[None]), tf.constant(box), tf.constant(box), size=14)[0].numpy()
    np.testing.assert_array_equal(target, mask[::8, ::8])
    outside = mask_targets(tf.constant(mask[None]), tf.constant(box), tf.constant(box + 100), size=14)
    assert not outside.numpy().any()
