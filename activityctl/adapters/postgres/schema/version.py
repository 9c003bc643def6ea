"""The schema version of a database, and the one that this package needs."""

from dataclasses import dataclass
from functools import cache

from alembic.script import ScriptDirectory

from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.schema.migrate import alembic_config
from activityctl.errors import SchemaMismatchError


@dataclass(frozen=True, slots=True)
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
    known, needed = _package_versions()
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
def _package_versions() -> tuple[frozenset[str], str]:
    """Return the versions that this package knows, and the newest of them."""
    script = ScriptDirectory.from_config(alembic_config())
    known = frozenset(version.revision for version in script.walk_revisions())
    return known, script.get_current_head() or ""


async def require_schema(database_url: str) -> None:
    """Raise SchemaMismatchError unless the database has the schema of this version."""
    versions = await read_schema_versions(database_url)
    if versions.are_equal:
        return
    needed = f"this version of activityctl needs schema {versions.package}"
    if versions.is_newer:
        raise SchemaMismatchError(
            f"the database has schema {versions.database}, which is newer; {needed}",
            hint="install the version of activityctl that migrated it",
        )
    found = f"has schema {versions.database}" if versions.database else "is empty"
    raise SchemaMismatchError(
        f"the database {found}; {needed}", hint="activityctl worker --migrate"
    )
