"""Loads a backup: in place of what a database has, or into a new database to verify it."""

import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import IO, Any, Final

from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from activityctl.adapters.postgres.backups.archive import BackupFile
from activityctl.adapters.postgres.backups.contents import (
    Connection,
    contents,
    our_tables,
    revision_of,
    role_prefixes_of,
    row_counts,
    schema_of,
    server_major,
    steady_connection,
)
from activityctl.adapters.postgres.backups.login import login_of
from activityctl.adapters.postgres.backups.programs import Programs, find_programs
from activityctl.adapters.postgres.backups.running import Program, running
from activityctl.adapters.postgres.backups.script import (
    WORKER_STARTED,
    closing,
    for_older_server,
    opening,
)
from activityctl.adapters.postgres.schema.roles import known_prefixes
from activityctl.adapters.postgres.schema.version import package_versions
from activityctl.domain.values.backup import differences, has_data
from activityctl.errors import (
    NotAllowedError,
    RefusedError,
    SchemaMismatchError,
    WorkerStartedError,
)
from activityctl.frozen_dataclass import frozen_dataclass

Tell = Callable[[str], None]
_SCRATCH: Final = "activityctl_verify_"
_LEFT_AFTER: Final = timedelta(days=1)
_CHUNK: Final = 1 << 18


@frozen_dataclass
class Target:
    """The database that a backup is to be restored into, as it is now."""

    revision: str | None
    """The revision of its schema; None if it has no tables of ours."""
    rows: dict[str, int]
    """How many rows each of our tables has."""
    role_prefixes: tuple[str, ...]
    """The prefixes of the group roles that have rights."""

    @property
    def has_data(self) -> bool:
        """Whether there is anything to lose."""
        return has_data(self.rows)


def look_at_target(url: str, backup: BackupFile) -> Target:
    """Return what the database has; SchemaMismatchError if the backup cannot be restored there."""
    known, needed = package_versions()
    wanted = backup.manifest
    if wanted.schema_revision not in known:
        raise SchemaMismatchError(
            f"the backup has schema {wanted.schema_revision}, which is newer than {needed} of "
            "this version",
            hint=f"install activityctl {wanted.version}, which took it, or a later version",
        )
    with steady_connection(url) as connection:
        revision = revision_of(connection)
        if revision is not None and revision not in known:
            raise SchemaMismatchError(
                f"the database has schema {revision}, which is newer than {needed} of this version",
                hint="use the version of activityctl that migrated it, or an empty database",
            )
        if (schema := schema_of(connection)) != wanted.database_schema:
            raise RefusedError(
                f'the tables of the backup are in the schema "{wanted.database_schema}", but '
                f'new tables of this login would be in "{schema}"',
                hint=f"ALTER ROLE … SET search_path = {wanted.database_schema}",
            )
        find_programs(max(server_major(connection), wanted.tool_version))
        return Target(revision, row_counts(connection), role_prefixes_of(connection))


def prefixes_without_roles(url: str, prefixes: Sequence[str]) -> list[str]:
    """Return those of the prefixes whose group roles do not exist in the cluster."""
    with steady_connection(url) as connection:
        roles = {str(name) for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    return sorted(set(prefixes) - set(known_prefixes(roles)))


def load_backup(url: str, backup: BackupFile, tell: Tell = lambda _: None) -> str:
    """Replace our tables by those of the backup, in one transaction; return the restore's id.

    Nothing is changed if it fails, is stopped or killed, or if the data are not those that were
    backed up; and WorkerStartedError if a worker is alive.
    """
    key = uuid.uuid4().hex
    manifest = backup.manifest
    with steady_connection(url) as connection:
        schema, major = schema_of(connection), server_major(connection)
        before = opening(schema, our_tables(connection), major, connection=connection)
        after = closing(schema, manifest.tables, (key, manifest.taken_at), connection=connection)
        programs = find_programs(max(major, manifest.tool_version))
    try:
        _load(url, backup, programs, (before, after), major, tell)
    except RefusedError as error:
        if WORKER_STARTED in error.message:
            raise WorkerStartedError(WORKER_STARTED, hint="add --stop-workers") from error
        raise
    return key


def verify_backup(maintenance_url: str, backup: BackupFile, tell: Tell = lambda _: None) -> None:
    """Restore the backup into a new database and compare all tables; drop the database again.

    RefusedError with the tables that differ; NotAllowedError if the login may not create a
    database.
    """
    manifest = backup.manifest
    with _scratch(maintenance_url, manifest.database_schema) as url:
        with steady_connection(url) as connection:
            major = server_major(connection)
        programs = find_programs(max(major, manifest.tool_version))
        # No transaction around it: a long one would hold up those who follow a log.
        _load(url, backup, programs, (b"", b""), major, tell)
        with steady_connection(url) as connection:
            found = contents(connection, lambda name: tell(f"comparing {name}"))
    if said := differences(manifest.tables, found):
        raise RefusedError(f"the restored backup is not what was backed up: {'; '.join(said)}")


def _load(
    url: str,
    backup: BackupFile,
    programs: Programs,
    around: tuple[bytes, bytes],
    major: int,
    tell: Tell,
) -> None:
    before, after = around
    schema = backup.manifest.database_schema
    psql = (programs.path("psql"), "--no-psqlrc", "--quiet", "--no-password", "--file=-")
    restore = (
        *(programs.path("pg_restore"), "--no-owner", "--no-privileges", "--file=-"),
        f"--schema={schema}",
    )
    with (
        login_of(url, programs.major) as login,
        running(
            [*psql, "--set=ON_ERROR_STOP=1", f"--dbname={login}"], stdin=subprocess.PIPE
        ) as loading,
    ):
        with _said_by(loading):
            loading.stdin.write(before)
            with running(restore, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reading:
                with _feeding(backup, reading.stdin, tell) as raise_damage:
                    script = iter(lambda: reading.stdout.read(_CHUNK), b"")
                    for part in for_older_server(script, major):
                        loading.stdin.write(part)
                raise_damage()
                reading.finish()
            tell("checking what was restored")
            loading.stdin.write(after)
            loading.stdin.close()
        loading.finish()


@contextmanager
def _said_by(program: Program) -> Iterator[None]:
    """Raise what the program says when it ended while it was written to."""
    try:
        yield
    except BrokenPipeError:
        program.finish()
        raise


@contextmanager
def _feeding(backup: BackupFile, pipe: IO[bytes], tell: Tell) -> Iterator[Callable[[], None]]:
    """Write the dump into a pipe while the block lasts; yield what raises its damage after it."""
    failures: list[Exception] = []
    whole = backup.manifest.dump_bytes

    def feed() -> None:
        done = 0
        try:
            for part in backup.parts():
                pipe.write(part)
                done += len(part)
                tell(f"restoring, {100 * done // whole} %")
        except BrokenPipeError:
            pass  # the reader says why it ended
        except Exception as error:  # noqa: BLE001  # raised by the other thread
            failures.append(error)
        finally:
            with suppress(OSError, ValueError):
                pipe.close()

    def raise_damage() -> None:
        thread.join()
        if failures:
            raise failures[0]

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    yield raise_damage


@contextmanager
def _scratch(maintenance_url: str, schema: str) -> Iterator[str]:
    """Create a database for the block, and drop it after it; yield its URL."""
    name = f"{_SCRATCH}{int(time.time())}_{uuid.uuid4().hex[:8]}"
    with steady_connection(maintenance_url) as connection:
        _drop_leftovers(connection)
        try:
            connection.execute(_named("CREATE DATABASE {} TEMPLATE template0", name))
        except errors.InsufficientPrivilege as error:
            raise NotAllowedError(
                "the login may not create a database, in which the backup could be verified",
                hint="ALTER ROLE … CREATEDB, or restore the backup into a database of your own",
            ) from error
        try:
            url = make_conninfo(maintenance_url, dbname=name)
            if schema != "public":
                with steady_connection(url) as inside:
                    inside.execute(_named("CREATE SCHEMA {}", schema))
            yield url
        finally:
            connection.execute(_named("DROP DATABASE IF EXISTS {} WITH (FORCE)", name))


def _drop_leftovers(connection: Connection) -> None:
    """Drop what verifications have left that were killed more than a day ago."""
    rows = connection.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) "
        "AND pg_has_role(datdba, 'USAGE')",
        (_SCRATCH,),
    ).fetchall()
    for (name,) in rows:
        stamp = str(name).removeprefix(_SCRATCH).partition("_")[0]
        if stamp.isdigit() and datetime.now(UTC) - datetime.fromtimestamp(int(stamp), UTC) > (
            _LEFT_AFTER
        ):
            connection.execute(_named("DROP DATABASE IF EXISTS {} WITH (FORCE)", str(name)))


def _named(query: Any, name: str) -> sql.Composed:
    return sql.SQL(query).format(sql.Identifier(name))
