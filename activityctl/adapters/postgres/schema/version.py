"""The schema version of a database, and the one that this package needs."""

from functools import cache
from importlib.resources import files

import psycopg

from activityctl.adapters.postgres.connection_url import secured
from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.watched_connection import KEEPALIVE_OPTIONS
from activityctl.errors import SchemaMismatchError
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class SchemaVersions:
    """The schema versions of a database and of this package."""

    database: str | None
    """None when the database was never migrated."""
    package: str
    is_newer: bool
    """Whether the database has a version that this package does not know."""

    @property
    def are_equal(self) -> bool:
        """Whether this package can work with the database."""
        return self.database == self.package


async def read_schema_versions(database_url: str) -> SchemaVersions:
    """Return both versions; raise UnreachableError when Postgres does not answer."""
    known, needed = package_versions()
    database = await Database.connect(database_url)
    try:
        row = await database.fetch_one("SELECT version_num FROM alembic_version")
    except SchemaMismatchError:  # the table does not exist
        row = None
    finally:
        await database.close()
    version = None if row is None else str(row["version_num"])
    is_newer = version is not None and version not in known
    return SchemaVersions(version, needed, is_newer)


@cache
def package_versions() -> tuple[frozenset[str], str]:
    """Return the versions that this package knows, and the newest of them.

    The names of the files say them. To load the files takes Alembic, which costs a worker a third
    of a second of CPU.
    """
    folder = files(__package__) / "migrations" / "versions"
    known = frozenset(
        file.name.partition("_")[0] for file in folder.iterdir() if file.name.endswith(".py")
    )
    return known, max(known)


def has_package_schema(database_url: str) -> bool:
    """Tell whether the database has the schema of this version; False if that cannot be read."""
    try:
        with psycopg.connect(secured(database_url), **KEEPALIVE_OPTIONS) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.Error:
        return False
    return row is not None and row[0] == package_versions()[1]


async def require_schema(database_url: str) -> None:
    """Raise SchemaMismatchError unless the database has the schema of this version."""
    versions = await read_schema_versions(database_url)
    if versions.are_equal:
        return
    refuse_newer(versions.database)
    needed = f"this version of activityctl needs schema {versions.package}"
    found = f"has schema {versions.database}" if versions.database else "is empty"
    raise SchemaMismatchError(
        f"the database {found}; {needed}", hint="activityctl worker --migrate"
    )


def refuse_newer(found: str | None) -> None:
    """Raise SchemaMismatchError if a database has a schema that this package does not know."""
    known, needed = package_versions()
    if found is not None and found not in known:
        raise SchemaMismatchError(
            f"the database has schema {found}, which is newer; this version of activityctl needs "
            f"schema {needed}",
            hint="install the version of activityctl that migrated it",
        )
