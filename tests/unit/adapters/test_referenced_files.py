import os
import socket
from pathlib import Path

import pytest

from activityctl.adapters.manifests.referenced_files import read_referenced_file


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    (tmp_path / "files" / "below").mkdir(parents=True)
    (tmp_path / "secret.ics").write_text("outside")
    (tmp_path / "files" / "here.ics").write_text("here")
    (tmp_path / "files" / "below" / "there.ics").write_text("there")
    return str(tmp_path / "files" / "all.yaml")


@pytest.mark.parametrize(
    ("path", "content"),
    [("here.ics", b"here"), ("./here.ics", b"here"), ("below/there.ics", b"there")],
)
def test_a_file_in_the_folder_or_below_is_read(manifest: str, path: str, content: bytes):
    assert read_referenced_file(manifest, path) == content


def test_the_path_is_relative_to_the_folder_of_the_manifest(
    manifest: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(Path(manifest).parent)
    assert read_referenced_file("all.yaml", "here.ics") == b"here"


@pytest.mark.parametrize(
    "path", ["../secret.ics", "below/../../secret.ics", "/etc/hostname", "~/x.ics", ".", "a\0b"]
)
def test_a_path_that_leaves_the_folder_is_refused(manifest: str, path: str):
    with pytest.raises(ValueError, match="in the folder of this manifest or below it"):
        read_referenced_file(manifest, path)


def test_a_manifest_from_standard_input_cannot_refer_to_a_file():
    with pytest.raises(ValueError, match="standard input"):
        read_referenced_file("<stdin>", "here.ics")


def test_no_symbolic_link_is_followed(manifest: str):
    folder = Path(manifest).parent
    (folder / "link.ics").symlink_to(folder.parent / "secret.ics")
    (folder / "up").symlink_to(folder.parent)
    for path in ("link.ics", "up/secret.ics"):
        with pytest.raises(ValueError, match="symbolic links are not followed"):
            read_referenced_file(manifest, path)


def test_only_regular_files_up_to_1_mib_are_read(manifest: str):
    folder = Path(manifest).parent
    os.mkfifo(folder / "pipe.ics")
    (folder / "large.ics").write_bytes(b"x" * (1024 * 1024 + 1))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s.ics"))
        refused = {
            "pipe.ics": "is a FIFO",
            "large.ics": "larger than 1 MiB",
            "s.ics": "is a socket",
            "below": "is a folder",
            "absent.ics": "there is no such file or folder",
            "here.ics/x": "part of the path is not a folder",
        }
        for path, reason in refused.items():
            with pytest.raises(ValueError, match=reason):
                read_referenced_file(manifest, path)
