"""`up --sync` and `worker --sync`: a folder that is applied again after each change."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.prepared_home import prepare
from support.waiting import until

pytestmark = pytest.mark.slow

DEFINITION = """apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: note}
spec:
  params: {type: object, properties: {text: {type: string}}}
  triggers: [{name: yearly, cron: {schedule: "0 3 1 1 *"}}]
  tasks: [{name: say, command: {argv: [echo, "${ params.text }"]}}]
"""
UNTIL = 20.0


def subscription(name: str, text: str = "hello") -> str:
    return (
        f"apiVersion: activityctl/v1\nkind: Subscription\nmetadata: {{name: {name}}}\n"
        f"spec: {{activity: note, params: {{text: {text}}}}}\n"
    )


class Synced:
    """A daemon that syncs one folder."""

    def __init__(self, shell: Any, folder: Path) -> None:
        self.shell = shell
        self.folder = folder

    def params(self) -> dict[str, str]:
        """Return the text of each subscription by name."""
        items = self.shell.json("get", "subscriptions")["items"]
        return {item["name"]: item["params"].get("text") for item in items}

    def status(self) -> Any:
        return json.loads(self.shell("status", "-o", "json", code=None).stdout)["sync"]

    def save_by_rename(self, path: Path, text: str) -> None:
        """Write as editors do: to another file first, which then replaces the file."""
        beside = path.with_name(f".{path.name}.swp")
        beside.write_text(text)
        beside.rename(path)

    def applied_since(self, before: Any) -> Any:
        """Wait until the folder was applied again, and return the status."""

        def newer() -> Any:
            status = self.status()
            return status["appliedAt"] != before["appliedAt"] and status

        return until(newer)


@pytest.fixture(scope="module")
def synced(
    tmp_path_factory: pytest.TempPathFactory, shell_at: Callable[[Path, Path], Any]
) -> Iterator[Synced]:
    work = tmp_path_factory.mktemp("work")
    folder = work / "definitions"
    folder.mkdir()
    (folder / "note.yaml").write_text(DEFINITION)
    (folder / "one.yaml").write_text(subscription("one"))
    shell = shell_at(prepare(tmp_path_factory.mktemp("home")), work)
    done = shell("up", "-d", "--sync", "definitions/")
    assert f"sync of {folder}: last applied" in done.stdout
    assert "2 created" in done.stdout
    yield Synced(shell, folder)
    shell("down")


def test_the_folder_is_applied_at_the_start_and_status_shows_it(synced: Synced) -> None:
    status = synced.status()
    assert status["folder"] == str(synced.folder)
    assert status["error"] is None
    assert status["appliedAt"].endswith("Z")
    assert "one" in synced.params()


def test_a_saved_file_is_applied_within_moments(synced: Synced) -> None:
    synced.save_by_rename(synced.folder / "one.yaml", subscription("one", "renamed"))
    until(lambda: synced.params()["one"] == "renamed")
    (synced.folder / "one.yaml").write_text(subscription("one", "written"))
    until(lambda: synced.params()["one"] == "written")
    (entry, *_) = synced.shell.json("history", "subscription", "one")["items"]
    assert entry["command"] == "sync"


def test_an_invalid_file_changes_nothing_and_is_reported_until_it_is_fixed(synced: Synced) -> None:
    bad = synced.folder / "bad.yaml"
    before = synced.params()
    bad.write_text(subscription("bad").replace("params", "parms"))
    status = until(lambda: (now := synced.status())["error"] and now)
    assert f"{bad}:4:" in status["error"]
    assert "parms" in status["error"]
    assert status["appliedAt"] is not None
    assert "refused, nothing was changed" in synced.shell("status", code=1).stdout
    (synced.folder / "one.yaml").write_text(subscription("one", "unseen"))
    time.sleep(2)
    assert synced.params() == before
    bad.write_text(subscription("bad"))
    until(lambda: synced.params().get("bad") == "hello")
    assert until(lambda: (now := synced.status())["error"] is None and now)
    synced.shell("status", code=0)
    assert synced.params()["one"] == "unseen"
    log = (synced.shell.home / "logs" / "worker.log").read_text()
    assert log.count(f"{bad}:4:") == 1


def test_nothing_is_pruned_when_a_file_is_removed(synced: Synced) -> None:
    (synced.folder / "gone.yaml").write_text(subscription("gone"))
    until(lambda: "gone" in synced.params())
    before = synced.status()
    (synced.folder / "gone.yaml").unlink()
    synced.applied_since(before)
    assert "gone" in synced.params()


def test_a_folder_that_is_deleted_and_created_again_is_synced(synced: Synced) -> None:
    kept = synced.folder.with_name("kept")
    shutil.copytree(synced.folder, kept)
    shutil.rmtree(synced.folder)
    status = until(lambda: (now := synced.status())["error"] and now)
    assert "no such file or folder" in status["error"]
    synced.folder.mkdir()
    for path in kept.iterdir():
        shutil.copy(path, synced.folder / path.name)
    until(lambda: synced.status()["error"] is None)
    (synced.folder / "one.yaml").write_text(subscription("one", "again"))
    until(lambda: synced.params()["one"] == "again")


def test_a_folder_that_is_replaced_by_another_is_synced(synced: Synced) -> None:
    other = synced.folder.with_name("other")
    shutil.copytree(synced.folder, other)
    (other / "one.yaml").write_text(subscription("one", "swapped"))
    synced.folder.rename(synced.folder.with_name("former"))
    other.rename(synced.folder)
    until(lambda: synced.params()["one"] == "swapped")
    (synced.folder / "one.yaml").write_text(subscription("one", "after the swap"))
    until(lambda: synced.params()["one"] == "after the swap")


def test_many_files_in_new_folders_are_applied_together(synced: Synced) -> None:
    for number in range(60):
        below = synced.folder / f"team-{number % 5}" / "deep"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"s{number}.yaml").write_text(subscription(f"s{number}", "many"))
    until(lambda: sum(text == "many" for text in synced.params().values()) == 60)
    assert synced.status()["error"] is None


def test_a_git_checkout_is_applied_as_a_whole_with_its_commit(synced: Synced) -> None:
    def git(*arguments: str) -> str:
        named = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        command = ["git", *named, *arguments]
        done = subprocess.run(
            command, cwd=synced.folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    before = synced.params()
    git("checkout", "--quiet", "-b", "next")
    for path in synced.folder.rglob("s*.yaml"):
        path.write_text(path.read_text().replace("text: many", "text: next"))
    git("commit", "--quiet", "--all", "--message", "second")
    until(lambda: synced.params()["s59"] == "next")
    git("checkout", "--quiet", "main")
    until(lambda: synced.params() == before)
    (entry, *_) = synced.shell.json("history", "subscription", "s7")["items"]
    assert entry["sourceCommit"] == git("rev-parse", "main")


def test_a_second_up_checks_whether_the_folder_is_synced(synced: Synced, tmp_path: Path) -> None:
    assert "already runs" in synced.shell("up", "--sync", "definitions").stderr
    refused = synced.shell("up", "--sync", str(tmp_path), code=1)
    assert "does not sync" in refused.stderr


def test_up_refuses_a_folder_that_does_not_exist(stranger: Any) -> None:
    done = stranger("up", "-d", "--sync", "nowhere", code=3)
    assert "no such folder" in done.stderr
    assert not stranger.home.exists()


@contextmanager
def worker_on(database_url: str, address: str, folder: Path, log: Path) -> Iterator[None]:
    """Run a worker against external servers, with its log in a file."""
    command = [str(Path(sys.executable).parent / "activityctl"), "worker", "--sync", str(folder)]
    environment = {
        **os.environ,
        "ACTIVITYCTL_DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": address,
        "ACTIVITYCTL_HOME": str(log.parent / "home"),
    }
    with log.open("w") as stream:
        worker = subprocess.Popen(command, env=environment, stderr=stream)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0


def test_a_worker_on_external_servers_logs_each_sync(
    servers: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "definitions"
    log = tmp_path / "log"
    with worker_on(database_url, servers["temporal_address"], folder, log):
        until(lambda: "no such file or folder" in log.read_text())
        folder.mkdir()
        (folder / "note.yaml").write_text(DEFINITION + "---\n" + subscription("elsewhere"))
        until(lambda: "2 created" in log.read_text())
        (folder / "note.yaml").write_text("{")
        until(lambda: "changed nothing" in log.read_text().partition("2 created")[2])
    assert json.dumps(log.read_text()).count("Traceback") == 0
    assert not (tmp_path / "home").exists()
