"""The commit that the history shows for the files that were read, and when it gets a suffix."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from activityctl.cli.provenance import commit_of

Git = Callable[..., str]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit; the working folder is outside it."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "team"
    (root / "definitions").mkdir(parents=True)
    (root / "definitions" / "a.yaml").write_text("a")
    (root / "definitions" / "b.yaml").write_text("b")
    (root / "notes.txt").write_text("n")
    (root / ".gitignore").write_text("local.yaml\n*.log\nbuild/\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "first")
    return root


def git(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    done = subprocess.run(
        ["git", *named, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_unchanged_files_have_the_commit_without_a_suffix(repository: Path):
    head = git(repository, "rev-parse", "HEAD")
    (repository / "notes.txt").write_text("other")
    (repository / "definitions" / "run.log").write_text("git ignores it, and it is no manifest")
    for given in ("definitions", "definitions/a.yaml", "definitions/*.yaml"):
        assert commit_of([str(repository / given)]) == head
    assert commit_of(["team/definitions"]) == head


@pytest.mark.parametrize("given", ["definitions", "definitions/b.yaml", "definitions/*.yaml", "."])
def test_changed_files_are_dirty(repository: Path, given: str):
    head = git(repository, "rev-parse", "HEAD")
    (repository / "definitions" / "b.yaml").write_text("changed")
    assert commit_of([str(repository / given)]) == f"{head}-dirty"
    git(repository, "add", ".")
    assert commit_of([str(repository / given)]) == f"{head}-dirty"
    assert commit_of([str(repository / "definitions" / "a.yaml")]) == head


@pytest.mark.parametrize("name", ["ä new.yaml", "local.yaml", "build/x.yaml"])
def test_untracked_and_ignored_files_are_dirty(repository: Path, name: str):
    head = git(repository, "rev-parse", "HEAD")
    path = repository / "definitions" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("new")
    assert commit_of([str(path)]) == f"{head}-dirty"


def test_a_file_outside_the_repository_does_not_get_its_commit(repository: Path, tmp_path: Path):
    head = git(repository, "rev-parse", "HEAD")
    stray = tmp_path / "stray.yaml"
    stray.write_text("s")
    assert commit_of([str(stray)]) is None
    both = commit_of([str(repository / "definitions"), str(stray)])
    assert both is not None
    assert both.startswith(f"{head}-")


def test_standard_input_is_unchecked(repository: Path, monkeypatch: pytest.MonkeyPatch):
    assert commit_of(["-"]) is None
    monkeypatch.chdir(repository)
    head = git(repository, "rev-parse", "HEAD")
    assert commit_of(["-"]) == f"{head}-unchecked"
    assert commit_of([]) == head


def test_a_repository_without_a_commit_gives_none(tmp_path: Path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.yaml").write_text("a")
    assert commit_of([str(tmp_path)]) is None


@pytest.mark.parametrize(
    "setting", ["filter.evil.x.clean", "filter.evil.x.process", "core.fsmonitor", "diff.external"]
)
def test_no_program_of_the_folders_settings_runs(repository: Path, setting: str):
    marker = repository.parent / "marker"
    program = repository.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "attributes").write_text("*.yaml filter=evil.x diff=evil\n")
    git(repository, "config", setting, str(program))
    git(repository, "config", "filter.evil.x.required", "true")
    (repository / "definitions" / "a.yaml").write_text("b")
    found = commit_of([str(repository / "definitions")])
    assert found is not None
    assert found.endswith("-dirty")
    assert not marker.exists()
