"""Writing the files of a new working folder."""

from pathlib import Path

import pytest

from activityctl.errors import ConflictError, InvalidInputError
from activityctl.operations.gitops.init import scaffold

FILES = {"a.txt": "one", "deep/er/b.txt": "two"}


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text("utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_files_are_written_in_folders_made_for_them(tmp_path: Path):
    folder = tmp_path / "new" / "one"
    assert scaffold(folder, FILES, force=False) == [folder / name for name in FILES]
    assert contents(folder) == FILES


def test_nothing_is_written_when_one_file_exists(tmp_path: Path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep/er/b.txt").write_text("mine")
    with pytest.raises(ConflictError, match=r"deep/er/b\.txt; nothing was written") as caught:
        scaffold(tmp_path, FILES, force=False)
    assert "a.txt" not in caught.value.message
    assert "--force" in str(caught.value.hint)
    assert contents(tmp_path) == {"deep/er/b.txt": "mine"}


def test_force_overwrites_these_files_and_no_others(tmp_path: Path):
    (tmp_path / "a.txt").write_text("a longer text of mine")
    (tmp_path / "other.txt").write_text("mine")
    scaffold(tmp_path, FILES, force=True)
    assert contents(tmp_path) == {**FILES, "other.txt": "mine"}


def test_a_symbolic_link_counts_as_existing_and_is_not_followed(tmp_path: Path):
    outside = tmp_path / "outside.txt"
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").symlink_to(outside)
    with pytest.raises(ConflictError):
        scaffold(folder, FILES, force=False)
    outside.write_text("mine")
    scaffold(folder, FILES, force=True)
    assert outside.read_text("utf-8") == "mine"
    assert contents(folder) == FILES


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="cannot be written"):
        scaffold(tmp_path / "file" / "below", FILES, force=False)
