"""The file of a backup: whole or absent, private, and refused when it is damaged."""

import json
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activityctl.adapters.postgres.backups.archive import BackupFile, new_backup
from activityctl.adapters.postgres.backups.programs import find_programs
from activityctl.domain.values.backup import BackupManifest, TableContent, differences, has_data
from activityctl.errors import ConflictError, InvalidInputError, UnreachableError

MANIFEST = BackupManifest(
    version="1.0",
    schema_revision="0027",
    taken_at=datetime(2026, 1, 1, tzinfo=UTC),
    server_version=18,
    tool_version=18,
    database_schema="public",
    role_prefixes=("activityctl",),
    tables={"runs": TableContent(2, "7")},
)
DUMP = bytes(range(256)) * 10


def write(path: Path, *, replaces: bool = False) -> BackupManifest:
    with new_backup(path, replaces=replaces) as writer:
        writer.write(DUMP[:700])
        writer.write(DUMP[700:])
        return writer.finish(MANIFEST)


def stop(path: Path, *, replaces: bool) -> None:
    """Begin to write, and stop as Ctrl-C does."""
    with suppress(KeyboardInterrupt), new_backup(path, replaces=replaces) as writer:
        writer.write(DUMP)
        raise KeyboardInterrupt


def write_beside_another(path: Path) -> None:
    """Write, while somebody else makes a file of this name."""
    with new_backup(path, replaces=False) as writer:
        path.write_bytes(b"of somebody else")
        writer.finish(MANIFEST)


def test_what_was_written_is_read_again_and_only_the_owner_can_read_it(tmp_path: Path):
    path = tmp_path / "a.backup"
    written = write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    backup = BackupFile(path)
    assert backup.manifest == written == MANIFEST.with_dump(len(DUMP), written.dump_sha256)
    assert b"".join(backup.parts()) == DUMP
    subprocess.run(["tar", "xf", str(path)], cwd=tmp_path, check=True)
    assert (tmp_path / "database.dump").read_bytes() == DUMP
    assert json.loads((tmp_path / "manifest.json").read_text())["schema_revision"] == "0027"


def test_a_failure_leaves_nothing_and_a_file_is_replaced_only_if_told(tmp_path: Path):
    path = tmp_path / "a.backup"
    stop(path, replaces=False)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"mine")
    with pytest.raises(ConflictError):
        write(path)
    assert path.read_bytes() == b"mine"
    stop(path, replaces=True)
    assert path.read_bytes() == b"mine"
    write(path, replaces=True)
    assert b"".join(BackupFile(path).parts()) == DUMP
    with pytest.raises(ConflictError):
        write_beside_another(tmp_path / "b")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.backup", "b"]
    with pytest.raises(InvalidInputError, match="there is no such file or folder"):
        write(tmp_path / "absent" / "a.backup")


@pytest.mark.parametrize("keeps", [0, 400, 2000, 3200])
def test_a_file_that_was_cut_off_is_no_backup(tmp_path: Path, keeps: int):
    path = tmp_path / "a.backup"
    write(path)
    path.write_bytes(path.read_bytes()[:keeps])
    with pytest.raises(InvalidInputError):
        BackupFile(path)


def test_a_changed_dump_is_found_by_its_checksum(tmp_path: Path):
    path = tmp_path / "a.backup"
    write(path)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="damaged"):
        list(BackupFile(path).parts())
    with pytest.raises(InvalidInputError, match="no such file"):
        BackupFile(tmp_path / "absent")


def test_differences_name_the_table_and_the_machinery_is_no_data():
    wanted = {"runs": TableContent(2, "7"), "tasks": TableContent(1, "3")}
    assert differences(wanted, {**wanted, "new": TableContent(9, "9")}) == []
    assert differences(wanted, {"runs": TableContent(1, "7")}) == [
        "runs: 1 rows, not 2",
        "tasks: the table is missing",
    ]
    assert differences(wanted, {**wanted, "runs": TableContent(2, "8")}) == [
        "runs: 2 rows, but not the same"
    ]
    assert has_data({"runs": 1, "workers": 0})
    assert not has_data({"runs": 0, "workers": 3, "alembic_version": 1, "gate_locks": 1024})


def programs(folder: Path, version: str) -> Path:
    folder.mkdir()
    for name in ("pg_dump", "pg_restore", "psql"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


def test_the_programs_fit_to_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    newer = programs(tmp_path / "newer", "98.3")
    monkeypatch.setenv("PATH", str(newer), prepend=":")
    assert find_programs(18).major >= 18
    assert find_programs(90).folder == newer
    with pytest.raises(UnreachableError, match="PostgreSQL 99 or later are needed"):
        find_programs(99)
