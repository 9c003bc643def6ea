"""What becomes of the file of the embedded Temporal after a crash."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from activityctl.daemon.local.embedded_temporal import set_damaged_aside


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of some pages whose server was killed: its log is still there."""
    path = tmp_path / "written.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")
        connection.executemany("INSERT INTO rows (text) VALUES (?)", [("x" * 500,)] * 500)
        connection.commit()
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("INSERT INTO rows (text) VALUES ('last')")
        connection.commit()
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", tmp_path / f"temporal.db{end}")
    return tmp_path / "temporal.db"


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 20)


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("SELECT count(*) FROM rows").fetchone()[0]
    return found


def test_a_file_that_is_whole_stays_with_all_that_was_written(database: Path):
    set_damaged_aside(database.parent)
    assert rows(database) == 501
    assert not list(database.parent.glob("*.damaged"))


def test_a_damaged_file_is_kept_under_another_name(
    database: Path, caplog: pytest.LogCaptureFixture
):
    damage(database)
    set_damaged_aside(database.parent)
    assert not list(database.parent.glob("temporal.db*[!d]"))
    assert database.with_name("temporal.db.damaged").exists()
    assert "temporal.db is damaged; it is kept as temporal.db.damaged" in caplog.text


def test_what_is_no_database_is_set_aside_too(database: Path):
    database.write_bytes(b"no database" * 1000)
    set_damaged_aside(database.parent)
    assert not database.exists()


def test_a_file_that_the_server_has_closed_is_not_read(database: Path):
    database.with_name("temporal.db-wal").unlink()
    damage(database)
    set_damaged_aside(database.parent)
    assert database.exists()


def test_a_first_start_finds_nothing(tmp_path: Path):
    set_damaged_aside(tmp_path)
    assert not list(tmp_path.iterdir())
