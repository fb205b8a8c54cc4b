"""What tells one set of images from another: names, sizes, a sample of the bytes, or all of them."""

import numpy as np
import pytest
from PIL import Image

from barlowtf.data import image_files, open_source, whole_content
from barlowtf.data.content import sampled_content

SIZE = 200_000


@pytest.fixture
def folder(tmp_path):
    r = np.random.default_rng(0)
    for number in range(4):
        pixels = r.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.bmp")
    return tmp_path


def fingerprint(folder):
    return open_source(str(folder), "train").fingerprint


def flip_byte(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_replaced_image_of_equal_size_changes_the_fingerprint(folder):
    before = fingerprint(folder)
    assert fingerprint(folder) == before
    flip_byte(folder / "2.bmp", -1)
    assert fingerprint(folder) != before


def test_an_added_a_removed_and_a_renamed_image_change_the_fingerprint(folder):
    known = [fingerprint(folder)]
    (folder / "3.bmp").rename(folder / "4.bmp")
    known.append(fingerprint(folder))
    (folder / "4.bmp").unlink()
    known.append(fingerprint(folder))
    (folder / "5.bmp").write_bytes((folder / "1.bmp").read_bytes())
    known.append(fingerprint(folder))
    assert len(set(known)) == 4


@pytest.mark.parametrize("place", [0, SIZE // 2, SIZE - 1])
def test_of_large_files_begin_middle_and_end_are_looked_at(tmp_path, place):
    paths = [tmp_path / str(number) for number in range(400)]
    for path in paths:
        path.write_bytes(bytes(SIZE))
    files = [(str(path), SIZE) for path in paths]
    before = sampled_content(files)
    flip_byte(paths[123], place)
    assert sampled_content(files) != before


def test_a_file_that_cannot_be_read_is_no_error(tmp_path):
    assert sampled_content([(str(tmp_path / "gone"), 3)]) != sampled_content([])


def test_the_whole_content_sees_what_a_sample_does_not(tmp_path):
    r = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    # One file of more bytes than a sample's blocks of one file reach.
    Image.fromarray(r.integers(0, 256, (1300, 1300, 3), np.uint8)).save(folder / "a.bmp")
    source = open_source(str(folder), "train")
    sampled, whole = source.fingerprint, whole_content(source)
    assert len(whole) == 64
    # Blocks lie about 4,950 bytes apart and hold 4,096: between the first two.
    flip_byte(folder / "a.bmp", 4500)
    changed = open_source(str(folder), "train")
    assert changed.fingerprint == sampled
    assert whole_content(changed) != whole


def test_no_file_is_read_before_the_fingerprint_is_asked_for(folder, monkeypatch):
    read = []
    monkeypatch.setattr(image_files, "sampled_content", lambda files: read.append(len(files)) or b"")
    source = open_source(str(folder), "train")
    assert (source.size, read) == (4, [])
    assert source.fingerprint == source.fingerprint
    assert read == [4]
