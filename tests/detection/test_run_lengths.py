"""Run lengths of bit masks: COCO's own program, the recorded masks, and the way back."""

import json

import numpy as np
import pycocotools.mask
import pytest

from barlowtf.detection import RunLengths, compress_runs, decode_runs, decompress_runs, encode_runs, mask_of_coco


def masks():
    r = np.random.default_rng(10)
    yield np.zeros((4, 7), bool)
    yield np.ones((4, 7), bool)
    yield np.zeros((0, 7), bool)
    yield np.eye(300, 200, dtype=bool)  # long runs between short ones: several groups, negative differences
    for _ in range(20):
        yield r.uniform(size=r.integers(1, 60, 2)) < r.uniform()


@pytest.mark.parametrize("mask", [*masks()], ids=lambda mask: "x".join(map(str, mask.shape)))
def test_runs_equal_those_of_pycocotools_and_lead_back(mask):
    height, width = mask.shape
    runs = encode_runs(mask)
    counts = [0]  # by hand
    for value in mask.T.ravel():
        if len(counts) % 2 == value:
            counts.append(0)
        counts[-1] += 1
    assert runs.counts.tolist() == counts and (runs.height, runs.width) == mask.shape
    text = compress_runs(runs)
    if mask.size:
        assert text == pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    np.testing.assert_array_equal(decode_runs(decompress_runs(text, height=height, width=width)), mask)
    plain = {"size": [height, width], "counts": counts}
    for segmentation in (plain, {**plain, "counts": text}, {**plain, "counts": text.encode()}):
        np.testing.assert_array_equal(decode_runs(mask_of_coco(segmentation, height=height, width=width)), mask)


def test_recorded_masks_equal_those_of_pycocotools(golden):
    case = json.loads((golden / "coco_case.json").read_text())
    for record in [*case["truth"]["annotations"], *case["detections"]]:
        segmentation = record["segmentation"]
        runs = mask_of_coco(segmentation, height=160, width=200)
        own = pycocotools.mask.frPyObjects(segmentation, 160, 200) if isinstance(segmentation, list) else [segmentation]
        expected = pycocotools.mask.merge(own)["counts"]
        assert compress_runs(runs) == (expected.decode() if isinstance(expected, bytes) else expected)


@pytest.mark.parametrize(
    "call",
    [
        lambda: decode_runs(RunLengths(3, 3, np.array([4, 4]))),
        lambda: decode_runs(RunLengths(3, 3, np.array([10, -1]))),
        lambda: decompress_runs("9!", height=3, width=3),
        lambda: decompress_runs("8", height=3, width=3),
        lambda: decompress_runs("o", height=3, width=3),
        lambda: decompress_runs("ooooooooooooooooooooooooooooooooooo0", height=3, width=3),
        lambda: mask_of_coco({"size": [3, 4], "counts": [9]}, height=3, width=3),
        lambda: mask_of_coco("polygon", height=3, width=3),
        lambda: mask_of_coco({"size": [3, 3]}, height=3, width=3),
        lambda: mask_of_coco({"size": [3, 3], "counts": [4]}, height=3, width=3),
        lambda: mask_of_coco({"size": [3, 3], "counts": b"\xff"}, height=3, width=3),
        lambda: mask_of_coco({"size": [3, 3], "counts": ["many"]}, height=3, width=3),
    ],
)
def test_wrong_runs_are_errors(call):
    with pytest.raises(ValueError, match="received .* expected"):
        call()
