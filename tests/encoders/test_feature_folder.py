"""Folders of features as banks: slices across parts, names of classes, and folders that are refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from barlowtf.encoders.feature_folder import MANIFEST, open_features
from barlowtf.errors import CheckpointError
from barlowtf.records import EmbeddedData, EmbedManifest, EncoderFacts, write_record
from tests.npy_headers import UNREADABLE

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
    folder.mkdir(parents=True)
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
    kept = fill(tmp_path / "run" / "features" / "0e7a")
    for above in (tmp_path / "run", tmp_path / "run" / "features"):
        with pytest.raises(CheckpointError, match=f"holds no features. .* of barlowtf embed, here {kept}.$"):
            open_features(above)
    fill(tmp_path / "run" / "features" / "1f8b")
    with pytest.raises(CheckpointError, match=r"embed, here .*/features/.*, the newest of 2 below it\.$"):
        open_features(tmp_path / "run")
    with pytest.raises(CheckpointError, match="are unfinished. Run the barlowtf embed"):
        open_features(fill(tmp_path / "unfinished", status="unfinished"))
    with pytest.raises(CheckpointError, match="belong to another encoder: received runs/x with weights aaaaaaaaaaaa"):
        open_features(fill(tmp_path / "a"), FACTS.model_copy(update={"sha256": "d" * 64}))
    with pytest.raises(CheckpointError, match=r"is damaged: received features \(10, 3\) .*, expected \(11, 3\)"):
        open_features(fill(tmp_path / "lost", rows=11))
    (fill(tmp_path / "cut") / "part-00002.parquet").write_bytes(b"PAR1")
    with pytest.raises(CheckpointError, match="Cannot read the features in .*cut: .*Embed the images again"):
        open_features(tmp_path / "cut")


def test_a_manifest_is_no_proof_of_features(tmp_path):
    for form in ("parquet", "npy"):
        folder = fill(tmp_path / form, form)
        for file in folder.iterdir():
            if file.name != MANIFEST:
                file.unlink()
        with pytest.raises(CheckpointError, match="Cannot read the features"):
            open_features(folder)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("features", FEATURES.astype(np.float64), "float64 of 2 dimensions"),
        ("features", FEATURES.reshape(-1), "1 dimensions"),
        ("features", FEATURES[:, :2], "damaged"),
        ("ids", IDS.astype(np.float32), "float32"),
        ("ids", IDS[:4], "expected integers"),
        ("ids", IDS[::-1], "ids in ids.npy do not rise"),
        ("ids", 0 * IDS, "ids in ids.npy do not rise"),
        ("ids", IDS - 1, "ids.npy has the id -1, expected ids from 0 to 10"),
        ("labels", IDS, "received the label 10, expected those of 2 classes"),
        ("labels", np.array(["x"] * 10), "expected integers"),
    ],
)
def test_arrays_of_other_kinds_are_refused(tmp_path, name, array, reason):
    folder = fill(tmp_path / "npy", "npy")
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(CheckpointError, match=reason) as caught:
        open_features(folder)
    assert "\n" not in str(caught.value)


def test_arrays_that_declare_more_than_the_file_holds_take_no_memory(tmp_path):
    folder = fill(tmp_path / "npy", "npy")
    for name, shape in (("features", (10**10, 3)), ("ids", (10**13,)), ("labels", (10**13,))):
        content = (folder / f"{name}.npy").read_bytes()
        header = {"descr": "<f4" if name == "features" else "<i8", "fortran_order": False, "shape": shape}
        with open(folder / f"{name}.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
        with pytest.raises(CheckpointError, match="Cannot read the features"):
            open_features(folder)
        (folder / f"{name}.npy").write_bytes(content)
    assert open_features(folder).rows == 10


@pytest.mark.parametrize("name", ["features", "ids", "labels"])
def test_a_file_that_numpy_cannot_read_is_named(tmp_path, name):
    for number, content in enumerate(UNREADABLE):
        folder = fill(tmp_path / str(number), "npy")
        (folder / f"{name}.npy").write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"Cannot read the features in .*: {name}\.npy") as caught:
            open_features(folder)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_parts_with_other_columns_are_refused(tmp_path):
    for number, kind in enumerate((pa.list_(pa.float32(), 2), pa.list_(pa.float32()), pa.float32())):
        folder = fill(tmp_path / str(number))
        count = 3
        values = pa.nulls(count, kind)
        table = pa.table({"id": [8, 9, 10], "path": ["a"] * 3, "label": [0] * 3, "feature": values})
        pq.write_table(table, folder / "part-00003.parquet")
        with pytest.raises(CheckpointError, match="part-00003.parquet has features of type"):
            open_features(folder)


def replace_part(folder, *, ids=(8, 9, 10), features=None, path="part-00003.parquet"):
    values = FEATURES[7:].tolist() if features is None else features
    columns = {"id": list(ids), "path": ["x"] * len(ids), "label": [0] * len(ids)}
    columns["feature"] = pa.array(values, pa.list_(pa.float32(), 3))
    pq.write_table(pa.table(columns), folder / path)


@pytest.mark.parametrize("missing", [None, [1.0, None, 3.0]])
def test_a_row_without_features_is_refused(tmp_path, missing):
    folder = fill(tmp_path / "x")
    replace_part(folder, features=[missing, *FEATURES[8:].tolist()])
    features = open_features(folder).features
    np.testing.assert_array_equal(features[:7], FEATURES[:7])
    with pytest.raises(
        CheckpointError, match=r"part-00003.parquet is damaged: .* 1 of them null, expected 3 rows of 3"
    ):
        features[7:10]
    with pytest.raises(CheckpointError, match=r"part-00003.parquet is damaged"):
        features[0:10]


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ((-3, 9, 10), "part-00003.parquet has the id -3, expected ids from 0 to 10"),
        ((8, 9, 11), "part-00003.parquet has the id 11, expected ids from 0 to 10"),
        ((8, 8, 10), "the ids in part-00003.parquet do not rise"),
        ((8, None, 10), "an image in part-00003.parquet has no id"),
        ((7, 9, 10), "ids do not rise"),  # the last of the part before is 7
    ],
)
def test_ids_that_are_not_those_of_the_images_are_refused(tmp_path, ids, reason):
    folder = fill(tmp_path / "x")
    replace_part(folder, ids=ids)
    with pytest.raises(CheckpointError, match=reason) as caught:
        open_features(folder)
    assert "\n" not in str(caught.value)


def test_a_part_of_too_many_rows_is_refused(tmp_path):
    folder = fill(tmp_path / "x", part_rows=3)
    with pytest.raises(CheckpointError, match=r"part-00000.parquet has 4 rows, expected at most 3 in a part"):
        open_features(folder)


def test_a_part_that_is_damaged_inside_is_one_line(tmp_path):
    folder = fill(tmp_path / "parquet")
    file = folder / "part-00000.parquet"
    content = bytearray(file.read_bytes())
    refused = 0
    for at in range(4, len(content) - 8, 97):
        changed = content[:at] + bytes(8) + content[at + 8 :]
        file.write_bytes(changed)
        try:
            opened = open_features(folder)
            assert opened.features[0:10].shape == (10, 3)
            assert opened.label_name(0) in ("cat", "dog")
        except CheckpointError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused


@pytest.mark.parametrize("form", ["parquet", "npy"])
def test_features_that_are_not_finite_are_named_by_their_file(tmp_path, monkeypatch, form):
    values = FEATURES.copy()
    values[5, 1] = np.nan
    monkeypatch.setitem(globals(), "FEATURES", values)
    folder = open_features(fill(tmp_path / "x", form))
    np.testing.assert_array_equal(folder.features[0:4], values[0:4])
    file = "features.npy" if form == "npy" else "part-00002.parquet"
    with pytest.raises(CheckpointError, match=rf"{file} holds features that are not finite\. Delete that file"):
        folder.features[4:6]
