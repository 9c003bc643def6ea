"""Migrates the schema of a database to the newest version; there is no way back."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from activityctl.adapters.postgres.connection_url import secured
from activityctl.adapters.postgres.database import translate_errors
from activityctl.adapters.postgres.schema import roles
from activityctl.adapters.postgres.schema.version import refuse_newer
from activityctl.adapters.postgres.watched_connection import KEEPALIVE_OPTIONS
from activityctl.errors import ConflictError, NotAllowedError

_LOG = logging.getLogger(__name__)
_LOCK_KEY: Final = 0x61637469  # "acti": every process migrates under this lock
_PATIENCE_SECONDS: Final = 3.0
_TRY_LOCK: Final = text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK: Final = text("SELECT pg_advisory_unlock(:key)")
# Who holds the lock, and whether that login may migrate too.
_SELECT_HOLDER: Final = text("""
    SELECT a.pid, a.usename, has_schema_privilege(a.usesysid, current_schema(), 'CREATE') AS is_ours
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid::bigint = :key
      AND l.objsubid = 1
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())""")


def alembic_config() -> Config:
    """Return the configuration of Alembic; the migrations are part of the package."""
    config = Config()
    config.set_main_option("script_location", str(files(__package__) / "migrations"))
    return config


def migrate(database_url: str, *, roles_prefix: str | None = None) -> None:
    """Upgrade the schema to its newest version; a second call changes nothing.

    A migration sets the rights of the database's roles again, in the same transaction.
    `roles_prefix` creates the roles of that prefix, and sets their rights in any case. Processes
    that migrate at the same time wait for one another.
    Raises UnreachableError when Postgres does not answer, NotAllowedError when the login lacks
    rights, ConflictError when a login without rights holds the lock, SchemaMismatchError when a
    newer version has migrated the database.
    """
    if roles_prefix is not None:
        roles.role_names(roles_prefix)
    with _connection(database_url) as connection, _owner_hint(), _locked(connection):
        config = alembic_config()
        config.attributes["connection"] = connection
        refuse_newer(_present(connection))
        if roles_prefix is None and not _missing(connection):
            return
        command.upgrade(config, "head")
        _write_roles(connection, roles_prefix)
        connection.commit()


def migration_script(
    database_url: str, *, roles_prefix: str | None = None
) -> tuple[list[str], str]:
    """Return the versions that `migrate` would apply, and the SQL that sets the rights of roles.

    Changes nothing.
    """
    with _connection(database_url) as connection:
        refuse_newer(_present(connection))
        missing, statements = _missing(connection), _role_statements(connection, roles_prefix)
        connection.rollback()
    return missing, "".join(f"{statement};\n" for statement in statements)


def _missing(connection: Connection) -> list[str]:
    """Return the titles of the migrations that the database has not had, in their order."""
    script = ScriptDirectory.from_config(alembic_config())
    present = _present(connection)
    steps = list(script.iterate_revisions("head", "base"))
    had = next((place for place, step in enumerate(steps) if step.revision == present), len(steps))
    return [step.doc for step in steps[:had]][::-1]


def _present(connection: Connection) -> str | None:
    """Return the version of the database's schema; None if it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _connection(database_url: str) -> Iterator[Connection]:
    conninfo = secured(database_url)
    engine = create_engine(
        "postgresql+psycopg://",
        poolclass=NullPool,
        creator=lambda: psycopg.connect(conninfo, **KEEPALIVE_OPTIONS),
    )
    try:
        with translate_errors(), _unwrapped(), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _owner_hint() -> Iterator[None]:
    """Say which login may migrate, if this one may not."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise NotAllowedError(
                f"the login may not do this: {error.orig.diag.message_primary}",
                hint="use the login that owns the schema; --roles needs CREATEROLE as well, or "
                "let an administrator run the SQL of: activityctl migrate --roles --dry-run",
            ) from error
        raise


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Raise the error of psycopg in place of the error that SQLAlchemy makes of it."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error
        raise


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    """Hold the lock of migrations.

    Any login may take an advisory lock. So a holder that may not migrate is named after
    _PATIENCE_SECONDS: a session that has just ended holds its locks for a moment.
    """
    key = {"key": _LOCK_KEY}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    has_told = False
    while not connection.execute(_TRY_LOCK, key).scalar_one():
        holder: Any = connection.execute(_SELECT_HOLDER, key).first()
        is_too_long = time.monotonic() > deadline
        if holder is not None and is_too_long and not has_told:
            has_told = True
            _LOG.warning(
                "process %d of Postgres holds the lock of migrations; waiting for it", holder.pid
            )
        if holder is not None and not holder.is_ours and is_too_long:
            raise ConflictError(
                f'the login "{holder.usename}", which may not migrate, holds the lock of '
                f"migrations (process {holder.pid} of Postgres)",
                hint=f"end its session: SELECT pg_terminate_backend({holder.pid})",
            )
        connection.rollback()
        time.sleep(0.1)
    connection.commit()
    yield
    connection.execute(_UNLOCK, key)


def _write_roles(connection: Connection, prefix: str | None) -> None:
    """Create the roles of the prefix, and set the rights of all roles of the database."""
    for statement in _role_statements(connection, prefix):
        connection.execute(text(statement.replace(":", r"\:")))


def _role_statements(connection: Connection, prefix: str | None) -> list[str]:
    """Return the SQL for the roles that exist, and for those of the prefix, which it creates."""
    grantees = {row.rolname for row in connection.exec_driver_sql(roles.SELECT_GRANTEES)}
    schema = connection.exec_driver_sql(roles.SELECT_SCHEMA).scalar_one()
    statements = [
        statement
        for known in roles.known_prefixes(grantees)
        if known != prefix
        for statement in roles.role_statements(known, schema, grantees)
    ]
    if prefix is not None:
        names = [name for name in roles.role_names(prefix).values() if name not in grantees]
        clashes = connection.exec_driver_sql(roles.SELECT_CLASHES, (names,))
        roles.refuse_clashes(row.rolname for row in clashes)
        statements += roles.role_statements(prefix, schema)
    return statements
