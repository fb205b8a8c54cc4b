"""The picture of what was found: colors where boxes are, nothing beyond images, the same bytes again."""

import io

import numpy as np
import pytest
from PIL import Image

from barlowtf.data import EIGHT_BITS, open_objects
from barlowtf.detection import Detections, encode_runs
from barlowtf.evaluation.detection_sheet import sheet_of
from tests.data.objects_on_disk import HEIGHT, WIDTH, write_voc

# A side of 20 pixels becomes 400, the border is 8.
SCALE, BORDER = 20, 8
FIRST, SECOND = np.array([255, 176, 0]), np.array([100, 190, 255])


def images(folder, count, names=("cat", "dog")):
    objects = {f"i{number:02}": [(names[0], (2, 2, 9, 8), False)] for number in range(count)}
    objects["t"] = [(name, (1, 1, 4, 4), False) for name in names]
    return open_objects(str(write_voc(folder, {"trainval": ["t"], "test": sorted(objects)[:-1]}, objects)), "test")


def found(*each, masks=None):
    image, category, boxes, scores = zip(*each, strict=True)
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    return Detections(np.array(image), np.array(category), boxes, np.array(scores, np.float64), masks)


def drawn(objects, detections):
    content = sheet_of(objects, detections, channels=3, rendering=EIGHT_BITS)
    assert content == sheet_of(objects, detections, channels=3, rendering=EIGHT_BITS)
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def near(pixels, color, distance=40):
    return np.abs(pixels - np.asarray(color)).max(axis=-1) <= distance


def test_boxes_have_the_color_of_their_class_and_low_scores_are_left_out(tmp_path):
    objects = images(tmp_path / "cells", 1)
    sheet = drawn(objects, found((0, 0, (1, 4, 6, 9), 0.9), (0, 1, (12, 4, 18, 9), 0.49)))
    assert sheet.shape[1] == 2 * BORDER + WIDTH * SCALE
    picture = sheet[BORDER : BORDER + HEIGHT * SCALE]
    left = BORDER + 1 * SCALE
    assert near(picture[5 * SCALE : 8 * SCALE, left : left + 2], FIRST).mean() > 0.9
    assert not near(sheet, SECOND).any()
    # A thin white outline is the object, x1 = 1, y1 = 1, x2 = 9, y2 = 8; its right side has nothing over it.
    right = BORDER + 9 * SCALE
    assert near(picture[2 * SCALE : 4 * SCALE, right - 2 : right + 1], (255, 255, 255), 60).any(axis=1).all()


def test_masks_are_half_transparent(tmp_path):
    objects = images(tmp_path / "cells", 1)
    bits = np.zeros((HEIGHT, WIDTH), bool)
    bits[4:9, 12:18] = True
    plain = drawn(objects, found((0, 1, (12, 4, 18, 9), 0.9)))
    masked = drawn(objects, found((0, 1, (12, 4, 18, 9), 0.9), masks=[encode_runs(bits)]))
    inside = (slice(BORDER + 6 * SCALE, BORDER + 7 * SCALE), slice(BORDER + 14 * SCALE, BORDER + 16 * SCALE))
    blended = plain[inside] + (SECOND - plain[inside]) * 110 / 255
    assert np.abs(masked[inside] - blended).max() < 12
    outside = (slice(BORDER + 6 * SCALE, BORDER + 7 * SCALE), slice(BORDER + 2 * SCALE, BORDER + 7 * SCALE))
    assert np.abs(masked[outside] - plain[outside]).max() < 12


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (5, 2, 4), (40, 4, 4)])
def test_up_to_sixteen_images_are_spread_evenly(tmp_path, count, rows, columns):
    objects = images(tmp_path / "cells", count)
    # The last image is shown, whatever their number, and the second one of forty is not.
    sheet = drawn(objects, found((count - 1, 1, (0, 0, 20, 10), 1.0), *([(1, 0, (0, 0, 20, 10), 1.0)] * (count == 40))))
    assert sheet.shape[1] == BORDER + columns * (WIDTH * SCALE + BORDER)
    assert sheet.shape[0] >= BORDER + rows * (HEIGHT * SCALE + BORDER)
    assert near(sheet, SECOND).any() and not near(sheet, FIRST).any()


def test_labels_stay_inside_their_image_and_do_not_cover_each_other(tmp_path):
    name = "x" * 300 + "\x1b[31m\n"
    objects = images(tmp_path / "cells", 4, names=("cat", "dog"))
    objects = type(objects)(**{**objects.__dict__, "class_names": (name, "dog")})
    corners = [(0, 0, 1, 1), (19, 0, 20, 1), (0, 9, 1, 10), (19, 9, 20, 10)]
    sheet = drawn(objects, found(*[(0, 0, corner, 1.0) for corner in corners * 20]))
    # The first image alone has the color of the class: labels do not reach its neighbor.
    first = BORDER + WIDTH * SCALE
    pictures = sheet[: BORDER + HEIGHT * SCALE]
    assert near(pictures[:, :first], FIRST).any() and not near(pictures[:, first + BORDER :], FIRST).any()
    assert near(pictures[:, :BORDER], (24, 24, 27)).all() and near(pictures[:BORDER], (24, 24, 27)).all()


def test_without_detections_the_legend_says_so(tmp_path):
    objects = images(tmp_path / "cells", 1)
    nothing = Detections(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)), np.zeros(0), None)
    assert drawn(objects, nothing).shape[0] > BORDER + HEIGHT * SCALE
    assert not near(drawn(objects, nothing), FIRST).any()
