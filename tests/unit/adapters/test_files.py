"""Files given with -f: what is read, what is refused, and that no file blocks."""

import io
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from activityctl.adapters.manifests import files
from activityctl.adapters.manifests.files import read_files


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Change to an empty folder; fail if the test takes more than 10 seconds of CPU time."""
    monkeypatch.chdir(tmp_path)
    started = time.process_time()
    yield tmp_path
    assert time.process_time() - started < 10


def write(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")


def read(
    *paths: str, recursive: bool = False, stdin: bytes | None = None
) -> tuple[list[str], list[str]]:
    stream = None if stdin is None else io.BytesIO(stdin)
    found, problems = read_files(paths, recursive=recursive, stdin=stream)
    return [file.name for file in found], [str(problem) for problem in problems]


def test_the_manifests_of_a_folder_are_sorted_by_name() -> None:
    write("d/b.yml", "d/a.yaml", "d/c.json", "d/d.txt", "d/.hidden.yaml", "d/sub/e.yaml")
    assert read("d") == (["d/a.yaml", "d/b.yml", "d/c.json"], [])
    assert read("d/")[0] == ["d/a.yaml", "d/b.yml", "d/c.json"]


def test_the_content_is_read_unchanged() -> None:
    Path("a.yaml").write_bytes(b"a: \xff\r\n")
    assert read_files(["a.yaml"], recursive=False, stdin=None)[0][0].content == b"a: \xff\r\n"


def test_recursion_enters_subfolders_but_not_hidden_ones() -> None:
    write("z.yaml", "b/x.yaml", "b/c/y.json", "a/w.yml", ".git/no.yaml", "odd.yaml/in.yaml")
    assert read(".", recursive=True) == (
        ["z.yaml", "a/w.yml", "b/x.yaml", "b/c/y.json", "odd.yaml/in.yaml"],
        [],
    )
    assert read(".") == (["z.yaml"], [])


def test_a_file_given_by_name_needs_no_suffix() -> None:
    write("Manifest", "[a].yaml", "a.yaml")
    assert read("Manifest", "./[a].yaml") == (["Manifest", "./[a].yaml"], [])


def test_the_same_file_is_read_once() -> None:
    write("d/a.yaml", "d/b.yaml")
    Path("link.yaml").symlink_to("d/a.yaml")
    names, problems = read("d/b.yaml", "d", "./d/a.yaml", "link.yaml", str(Path("d").absolute()))
    assert (names, problems) == (["d/b.yaml", "d/a.yaml"], [])


def test_patterns_are_expanded() -> None:
    write("d/a.yaml", "d/b.yaml", "d/n.txt", "e/a.yaml", "e/f/a.yaml", "e/.h/a.yaml", ".x.yaml")
    assert read("d/*.yaml")[0] == ["d/a.yaml", "d/b.yaml"]
    assert read("*/a.yaml")[0] == ["d/a.yaml", "e/a.yaml"]
    assert read("e/**/a.yaml")[0] == ["e/a.yaml", "e/f/a.yaml"]
    assert read("e/**")[0] == ["e/a.yaml", "e/f/a.yaml"]
    assert read("[de]")[0] == ["d/a.yaml", "d/b.yaml", "e/a.yaml"]
    assert read(".x.y?ml")[0] == [".x.yaml"]
    assert read(f"{Path.cwd()}/d/a.*")[0] == [f"{Path.cwd()}/d/a.yaml"]
    assert read("*.yaml") == ([], ["*.yaml: no file matches this pattern"])


def test_stdin_is_read_once_and_within_bounds() -> None:
    assert read("-", "-", stdin=b"a: 1") == (["<stdin>"], [])
    assert read("-") == ([], ["<stdin>: there is no standard input"])
    endless = io.BytesIO(b"x" * (3 * 1024 * 1024))
    assert read_files(["-"], recursive=False, stdin=endless)[0] == []
    assert endless.tell() == 1024 * 1024 + 1


def test_a_pipe_that_gives_little_at_a_time_is_read_to_its_end() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as stream:
        os.write(writer, b"a: 1\n")
        os.write(writer, b"b: 2\n")
        os.close(writer)
        assert read_files(["-"], recursive=False, stdin=stream)[0][0].content == b"a: 1\nb: 2\n"


def test_a_folder_without_manifests_says_so() -> None:
    write("none/a.txt", "below/x/y/a.yaml", "hidden/.h/a.yaml")
    assert read("none", "below", "hidden")[1] == [
        "none: no manifests in this folder",
        "below: no manifests in this folder; to read those in its subfolders, add -R",
        "hidden: no manifests in this folder",
    ]
    assert read("none", recursive=True)[1] == ["none: no manifests in this folder"]


def test_a_path_that_is_not_a_regular_file_is_refused_at_once() -> None:
    os.mkfifo("fifo")
    os.mkfifo("in.yaml")
    Path("broken").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    Path("to-fifo").symlink_to("fifo")
    write("file")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        started = time.process_time()
        names, problems = read(
            *("fifo", "to-fifo", "socket", "/dev/zero", "broken", "loop", "missing", "file/x"),
            *(".", "a\0b", "", "n" * 300),
        )
        assert time.process_time() - started < 5
    assert names == []
    assert problems == [
        "fifo: is a FIFO, not a regular file",
        "to-fifo: is a FIFO, not a regular file",
        "socket: is a socket, not a regular file",
        "/dev/zero: is a device, not a regular file",
        "broken: there is no such file or folder",
        "loop: a loop of symbolic links, or a symbolic link that is not followed",
        "missing: there is no such file or folder",
        "file/x: part of the path is not a folder",
        "in.yaml: is a FIFO, not a regular file",
        "a\0b: the path contains a NUL character",
        '"": the path is empty',
        "n" * 300 + ": the name is too long",
    ]


def test_a_file_replaced_by_a_fifo_after_the_check_does_not_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("a.yaml")
    check = files.irregular

    def check_and_swap(status: os.stat_result) -> str:
        reason = check(status)
        if not reason:
            Path("a.yaml").unlink()
            os.mkfifo("a.yaml")
        return reason

    monkeypatch.setattr(files, "irregular", check_and_swap)
    assert read("a.yaml") == ([], ["a.yaml: is a FIFO, not a regular file"])


def test_symbolic_links_are_followed_only_when_given_as_a_path() -> None:
    write("outside/a.yaml")
    Path("d/loop").mkdir(parents=True)
    Path("d/link.yaml").symlink_to("../outside/a.yaml")
    Path("d/notes").symlink_to("../outside/a.yaml")
    Path("d/loop/again").symlink_to("..")
    Path("d/loop/twice").symlink_to("..")
    refused = "d/link.yaml: a symbolic link in a folder is not followed; give its path with -f"
    assert read("d", recursive=True) == ([], [refused])
    assert read("d/**/*.yaml") == ([], [refused])
    assert read("d/link.yaml") == (["d/link.yaml"], [])


def test_a_link_to_a_folder_is_followed_when_named() -> None:
    write("v1/a.yaml")
    Path("current").symlink_to("v1")
    assert read("current") == (["current/a.yaml"], [])


def test_a_file_that_is_too_large_is_refused() -> None:
    Path("big.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    Path("fits.yaml").write_bytes(b"#" * (1024 * 1024))
    assert read(".") == (["fits.yaml"], ["big.yaml: larger than 1 MiB"])


@pytest.mark.parametrize("write_more", [b"grown", b""])
def test_a_file_that_changes_while_it_is_read_is_refused(
    write_more: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.yaml")
    read_some = os.read

    def read_and_change(descriptor: int, size: int) -> bytes:
        monkeypatch.setattr(os, "read", read_some)
        part = read_some(descriptor, size)
        with Path("a.yaml").open("ab" if write_more else "wb") as file:
            file.write(write_more)
        return part

    monkeypatch.setattr(os, "read", read_and_change)
    names, problems = read("a.yaml")
    assert names == []
    assert problems[0].startswith("a.yaml: changed while it was read")


def test_a_file_deleted_before_it_is_read_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    write("d/a.yaml", "d/b.yaml")
    list_entries = files._entries

    def list_and_remove(folder: str) -> list[os.DirEntry[str]]:
        entries = list_entries(folder)
        Path("d/a.yaml").unlink()
        return entries

    monkeypatch.setattr(files, "_entries", list_and_remove)
    assert read("d") == (["d/b.yaml"], ["d/a.yaml: was deleted before it could be read"])


@pytest.fixture
def unreadable() -> Iterator[Path]:
    """Give a folder whose content we may not read, even if the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "shut").mkdir()
        (folder / "shut.yaml").write_text("a: 1")
        (folder / "shut.yaml").chmod(0)
        (folder / "shut").chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield folder
        os.seteuid(user)
        (folder / "shut").chmod(0o700)


def test_files_and_folders_without_permission_are_problems(unreadable: Path) -> None:
    file, shut = unreadable / "shut.yaml", unreadable / "shut"
    denied = [f"{file}: permission denied", f"{shut}: permission denied"]
    assert read(str(file), str(shut)) == ([], denied)
    assert sorted(read(str(unreadable), recursive=True)[1]) == sorted(denied)


def test_a_path_that_is_too_long_is_a_problem_only_when_recursive(folder: Path) -> None:
    for _ in range(20):
        name = "n" * 250
        Path(name).mkdir()
        os.chdir(name)
    os.chdir(folder)
    assert read(".")[1] == [".: no manifests in this folder"]
    (problem,) = read(".", recursive=True)[1]
    assert problem.endswith("n: the name is too long")


def test_ten_thousand_files_take_seconds() -> None:
    for number in range(10_000):
        folder = f"d/{number // 500}"
        if number % 500 == 0:
            Path(folder).mkdir(parents=True)
        Path(f"{folder}/{number}.yaml").write_bytes(b"a: 1\n")
    started = time.process_time()
    names, problems = read("d", recursive=True)
    assert time.process_time() - started < 30  # minutes if the cost grew with the square
    assert (len(names), problems) == (10_000, [])
