"""Files and folders that are whole or not there at all."""

import os
import stat

import pytest

from barlowtf import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_or_kept(tmp_path):
    path = tmp_path / "file"
    atomic.write_file(path, "old")
    with pytest.raises(TypeError):
        atomic.write_file(path, 3)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]
    # As readable as anything else its user makes.
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_file_aside_has_the_suffix_of_its_target(tmp_path):
    with atomic.whole_file(tmp_path / "model.keras") as aside:
        assert aside.name == "model.keras"
        assert not (tmp_path / "model.keras").exists()
        aside.write_text("x")
    assert names(tmp_path) == ["model.keras"]


def test_a_link_is_replaced_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (tmp_path / "file").symlink_to(precious)
    atomic.write_file(tmp_path / "file", "new")
    assert precious.read_text() == "keep"
    assert not (tmp_path / "file").is_symlink()


def test_files_that_belong_together_come_together(tmp_path):
    targets = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(FileNotFoundError), atomic.whole_files(targets) as (first, _):
        first.write_text("x")
    assert names(tmp_path) == []
    targets[1].write_text("there")
    with pytest.raises(FileExistsError), atomic.whole_files(targets, overwrite=False) as places:
        for place in places:
            place.write_text("x")
    assert names(tmp_path) == ["b"]
    assert targets[1].read_text() == "there"


def test_a_folder_is_whole_or_not_there(tmp_path):
    target = tmp_path / "deep" / "folder"
    with pytest.raises(RuntimeError), atomic.whole_folder(target) as aside:
        (aside / "part").write_text("x")
        raise RuntimeError
    assert names(tmp_path) == []
    with atomic.whole_folder(target) as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "part").write_text("x")
        assert not target.exists()
    assert names(target.parent) == ["folder"]
    assert (target / "sub" / "part").read_text() == "x"
    with pytest.raises(FileExistsError), atomic.whole_folder(target):
        pass
    assert (target / "sub" / "part").read_text() == "x"


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    leftover = tmp_path / ".step-1.writing-abc"
    leftover.mkdir()
    (leftover / "part").write_text("x")
    (tmp_path / ".lock").write_text("")
    atomic.remove_leftovers(tmp_path)
    assert names(tmp_path) == [".lock"]
