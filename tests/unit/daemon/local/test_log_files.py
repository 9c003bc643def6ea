"""Logs are rotated while a process holds them open."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from activityctl.daemon.local.log_files import keep_logs_small, rotate_logs
from activityctl.daemon.local.supervised_process import last_error, open_log

LIMIT = 10_000
_WRITER = """
import sys, time
for number in range(20_000):
    sys.stdout.write(f"line {number}\\n")
    sys.stdout.flush()
time.sleep(0.5)  # what is written between a copy and its emptying is lost
print("the end", flush=True)
"""


async def test_the_log_of_a_running_process_stays_small_and_loses_its_oldest_lines_only(
    tmp_path: Path,
):
    folder = tmp_path / "logs"
    path = folder / "worker.log"
    log = open_log(path)
    rotating = asyncio.create_task(keep_logs_small(folder, LIMIT, 0.001))
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", _WRITER, stdout=log)
    os.close(log)
    assert await child.wait() == 0
    await asyncio.sleep(0.1)
    rotating.cancel()
    await asyncio.sleep(0.2)  # a rotation that has begun ends in its thread
    assert sorted(file.name for file in folder.iterdir()) == [
        "worker.log",
        "worker.log.1",
        "worker.log.2",
    ]
    assert path.stat().st_size <= LIMIT
    written = b"".join((folder / name).read_bytes() for name in ("worker.log.1", "worker.log"))
    assert written.rstrip().endswith(b"the end")
    assert b"\0" not in written


@pytest.mark.parametrize("rounds", [1, 5])
def test_two_older_logs_are_kept(tmp_path: Path, rounds: int):
    path = tmp_path / "postgres.log"
    for number in range(rounds):
        path.write_text(f"{number}" * (LIMIT + 1))
        rotate_logs(tmp_path, LIMIT)
    kept = {file.name: file.read_text()[:1] for file in tmp_path.iterdir()}
    expected = {"postgres.log": "", "postgres.log.1": f"{rounds - 1}"}
    older = {"postgres.log.2": f"{rounds - 2}"} if rounds > 1 else {}
    assert kept == expected | older
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.glob("*.log.1"))


def test_a_log_that_cannot_be_copied_is_emptied_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", fail)
    path = tmp_path / "worker.log"
    path.write_text("x" * (LIMIT + 1))
    rotate_logs(tmp_path, LIMIT)
    assert path.read_text() == ""
    assert not (tmp_path / "worker.log.1").exists()
    assert "could not rotate worker.log" in caplog.text


def test_a_small_log_is_left_alone(tmp_path: Path):
    (tmp_path / "worker.log").write_text("x" * LIMIT)
    rotate_logs(tmp_path, LIMIT)
    assert [file.name for file in tmp_path.iterdir()] == ["worker.log"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("error: old\nhint: x\nready\n", "ready"),
        ("error: old\n\nerror: has schema 0014\nhint: read the logs\n", "has schema 0014"),
        ("error: no hint\n", "no hint"),
        ("hint: alone\n", "hint: alone"),
    ],
)
def test_the_last_error_of_a_log_is_no_hint(tmp_path: Path, text: str, line: str):
    path = tmp_path / "worker.log"
    path.write_text(text)
    assert last_error(path) == line
