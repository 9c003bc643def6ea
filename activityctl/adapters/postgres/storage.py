"""The version of Postgres, and the sizes of the database and of what grows in it."""

from collections.abc import Mapping, Sequence
from typing import Final

from activityctl.adapters.postgres.database import Database
from activityctl.ports import StorageReport

_TABLES: Final[Mapping[str, Sequence[str]]] = {
    "runs": ("runs", "waits", "late_runs"),
    "tasks": ("tasks",),
    "attempts": ("attempts",),
    "logs": ("log_entries",),
    "deadletters": ("dead_letters",),
    "audit": ("audit_entries",),
    "spends": ("spends", "signed_calls"),
    "events": ("events", "verdicts", "firings"),
}
"""The tables of each kind. A size needs no right to read its table."""
_REPORT: Final = """
    SELECT current_setting('server_version') AS version,
        pg_database_size(current_database()) AS total,
        (SELECT jsonb_object_agg(name, coalesce(pg_total_relation_size(to_regclass(name)), 0))
         FROM unnest(%(tables)s::text[]) AS name) AS sizes"""


class PostgresStorage:
    """Implements the Storage port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self) -> StorageReport:
        """Return the version of the server and the sizes."""
        tables = [table for group in _TABLES.values() for table in group]
        (row,) = await self._database.fetch(_REPORT, tables=tables)
        sizes = {
            kind: sum(row["sizes"][table] for table in group) for kind, group in _TABLES.items()
        }
        return StorageReport(row["version"].split()[0], row["total"], sizes)
