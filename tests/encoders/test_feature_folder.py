"""Folders of features as banks: slices across parts, names of classes, and folders that are refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from barlowtf.encoders.feature_folder import MANIFEST, open_features
from barlowtf.errors import CheckpointError
from barlowtf.records import EmbeddedData, EmbedManifest, EncoderFacts, write_record

FACTS = EncoderFacts(
    name="runs/x",
    kind="run",
    label="trained",
    sha256="a" * 64,
    architecture="b" * 64,
    image_shape=(8, 8, 1),
    mean=(0.5,),
    std=(0.5,),
    feature_width=3,
    parameters=1,
)
FEATURES = np.arange(30, dtype=np.float32).reshape(10, 3)
# Image 4 could not be read.
IDS = np.array([0, 1, 2, 3, 5, 6, 7, 8, 9, 10])


def fill(folder, form="parquet", **changes):
    folder.mkdir()
    images = EmbeddedData(source="x", split="train", images=11, fingerprint="c" * 64, class_names=("cat", "dog"))
    manifest = EmbedManifest(encoder=FACTS, data=images, format=form, part_rows=4, status="finished", rows=10)
    write_record(folder / MANIFEST, manifest.model_copy(update=changes))
    if form == "npy":
        np.save(folder / "features.npy", FEATURES)
        np.save(folder / "ids.npy", IDS)
        np.save(folder / "labels.npy", IDS % 2)
        return folder
    for number, rows in enumerate((slice(0, 4), slice(4, 4), slice(4, 7), slice(7, 10))):
        values = pa.array(FEATURES[rows].reshape(-1), pa.float32())
        columns = {
            "id": pa.array(IDS[rows]),
            "path": pa.array([f"x/{number}.png" for number in IDS[rows]], pa.string()),
            "label": pa.array(IDS[rows] % 2),
            "feature": pa.FixedSizeListArray.from_arrays(values, 3),
        }
        pq.write_table(pa.table(columns), folder / f"part-{number:05d}.parquet")
    return folder


@pytest.mark.parametrize("form", ["parquet", "npy"])
def test_slices_are_those_of_the_whole(tmp_path, form):
    folder = open_features(fill(tmp_path / "x", form), FACTS)
    assert folder.features.shape == (10, 3)
    for start in range(10):
        for stop in range(start, 12):
            np.testing.assert_array_equal(folder.features[start:stop], FEATURES[start:stop])
    assert [folder.label_name(row) for row in (0, 1, 4)] == ["cat", "dog", "dog"]
    assert folder.row_of(5) == 4
    for number in (4, 11):
        with pytest.raises(CheckpointError, match=f"has no image {number}: expected one of the ids 0 to 10"):
            folder.row_of(number)


def test_what_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds no features. Expected the --out folder"):
        open_features(tmp_path)
    with pytest.raises(CheckpointError, match="are unfinished. Run the barlowtf embed"):
        open_features(fill(tmp_path / "unfinished", status="unfinished"))
    with pytest.raises(CheckpointError, match="belong to another encoder: received runs/x with weights aaaaaaaaaaaa"):
        open_features(fill(tmp_path / "a"), FACTS.model_copy(update={"sha256": "d" * 64}))
    with pytest.raises(CheckpointError, match=r"is damaged: received features \(10, 3\) .*, expected \(11, 3\)"):
        open_features(fill(tmp_path / "lost", rows=11))
    (fill(tmp_path / "cut") / "part-00002.parquet").write_bytes(b"PAR1")
    with pytest.raises(CheckpointError, match="Cannot read the features in .*cut: .*Embed the images again"):
        open_features(tmp_path / "cut")
