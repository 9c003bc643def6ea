"""Takes a backup: a dump and the counts of one moment, in one file."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from psycopg import IsolationLevel

from activityctl.adapters.postgres.backups.archive import BackupWriter, new_backup
from activityctl.adapters.postgres.backups.contents import (
    LEFT_OUT,
    Connection,
    contents,
    one_row,
    our_tables,
    revision_of,
    role_prefixes_of,
    schema_of,
    server_major,
    steady_connection,
    tables_of_others,
)
from activityctl.adapters.postgres.backups.login import login_of
from activityctl.adapters.postgres.backups.programs import Programs, find_programs
from activityctl.adapters.postgres.backups.running import running
from activityctl.adapters.postgres.schema.version import package_versions
from activityctl.domain.values.backup import BackupManifest
from activityctl.errors import SchemaMismatchError

Tell = Callable[[str], None]
_DUMPING: Final = re.compile(r'dumping contents of table "(?:[^"]*\.)?([^".]+)"')
_CHUNK: Final = 1 << 18


def take_backup(
    url: str, path: Path, version: str, *, replaces: bool, tell: Tell = lambda _: None
) -> BackupManifest:
    """Write a backup of the database to the path, and return its manifest.

    Everything in it is of one moment. Raises what `new_backup` and `find_programs` raise,
    SchemaMismatchError for a database without our schema or with a newer one, NotAllowedError for
    a login that may not read all.
    """
    with new_backup(path, replaces=replaces) as writer, steady_connection(url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            revision = _revision(connection)
            programs = find_programs(server_major(connection))
            manifest = _manifest(connection, version, revision, programs)
            _dump(connection, programs, url, writer, tell)
            found = contents(connection, lambda name: tell(f"counting {name}"))
        return writer.finish(replace(manifest, tables=found))


def _revision(connection: Connection) -> str:
    revision = revision_of(connection)
    if revision is None:
        raise SchemaMismatchError(
            "the database has no tables of activityctl", hint="activityctl worker --migrate"
        )
    known, needed = package_versions()
    if revision not in known:
        raise SchemaMismatchError(
            f"the database has schema {revision}, which is newer than {needed} of this version",
            hint="take the backup with the version of activityctl that migrated it",
        )
    return revision


def _manifest(
    connection: Connection, version: str, revision: str, programs: Programs
) -> BackupManifest:
    (moment,) = one_row(connection, "SELECT now()")
    return BackupManifest(
        version=version,
        schema_revision=revision,
        taken_at=moment,
        server_version=server_major(connection),
        tool_version=programs.major,
        database_schema=schema_of(connection),
        role_prefixes=role_prefixes_of(connection),
        tables={},
    )


def _dump(
    connection: Connection, programs: Programs, url: str, writer: BackupWriter, tell: Tell
) -> None:
    (snapshot,) = one_row(connection, "SELECT pg_export_snapshot()")
    tables = our_tables(connection)
    schema = schema_of(connection)
    done: list[str] = []

    def hear(line: str) -> None:
        if found := _DUMPING.search(line):
            done.append(found[1])

    with login_of(url, programs.major) as login:
        command = [
            *(programs.path("pg_dump"), f"--dbname={login}", "--format=custom", "--verbose"),
            *("--no-password", f"--snapshot={snapshot}", f"--schema={_pattern(schema)}"),
            *(f"--exclude-table={_qualified(schema, t)}" for t in tables_of_others(connection)),
            *(f"--exclude-table-data={_qualified(schema, table)}" for table in LEFT_OUT),
        ]
        with running(command, stdout=subprocess.PIPE, hear=hear) as program:
            tell("backing up")
            while part := program.stdout.read(_CHUNK):
                writer.write(part)
                if done:
                    place = f"{len(done)} of {len(tables)}"
                    tell(f"backing up {done[-1]} ({place}), {writer.size / 1e6:,.1f} MB")
            program.finish()


def _qualified(schema: str, table: str) -> str:
    return f"{_pattern(schema)}.{_pattern(table)}"


def _pattern(name: str) -> str:
    """Return a pattern of pg_dump that only this name matches."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
