"""Which version of the schema a database has, and which this package is made for."""

from dataclasses import dataclass

from alembic.script import ScriptDirectory

from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.schema.migrate import alembic_config
from activityctl.errors import RefusedError


@dataclass(frozen=True, slots=True)
class SchemaVersions:
    """The versions of a database and of this package."""

    database: str | None
    """None when nobody has migrated it."""
    package: str
    is_newer: bool
    """Whether the database has a version that this package does not know."""

    @property
    def are_equal(self) -> bool:
        """Whether this package can work with the database."""
        return self.database == self.package


async def read_schema_versions(database_url: str) -> SchemaVersions:
    """Return both versions; UnreachableError when Postgres does not answer."""
    script = ScriptDirectory.from_config(alembic_config())
    known = {one.revision for one in script.walk_revisions()}
    database = await Database.connect(database_url)
    try:
        row = await database.fetch_one("SELECT version_num FROM alembic_version")
    except RefusedError:  # there is no such table
        row = None
    finally:
        await database.close()
    version = None if row is None else str(row["version_num"])
    is_newer = version is not None and version not in known
    return SchemaVersions(version, script.get_current_head() or "", is_newer)
