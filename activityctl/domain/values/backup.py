"""Backup: what the manifest of a backup says, and when a backup may be restored."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final, Self

from activityctl.errors import InvalidInputError
from activityctl.frozen_dataclass import frozen_dataclass

FORMAT: Final = "activityctl-backup/1"
SHOWN: Final = ("definitions", "subscriptions", "runs", "tasks", "events", "log_entries")
"""The tables that a summary names; the others are in the manifest."""
MACHINERY: Final = frozenset(
    {"alembic_version", "gate_locks", "restores", "workers", *("catalog_lock", "router_lock")}
    | {"reconciler_lock", "drift_lock", "backfills_lock"}
)
"""Tables that a database without any data of users may have rows in."""


@frozen_dataclass
class TableContent:
    """The number of rows of a table, and a hash of them that does not depend on their order."""

    rows: int
    content: str


@frozen_dataclass
class BackupManifest:
    """What is in a backup, and of what it was taken."""

    version: str
    """The version of activityctl that took it."""
    schema_revision: str
    taken_at: datetime
    """The moment of the data, by Postgres' clock."""
    server_version: int
    """The major version of the Postgres server."""
    tool_version: int
    """The major version of pg_dump."""
    database_schema: str
    """The schema of Postgres in which the tables are."""
    role_prefixes: tuple[str, ...]
    """The prefixes of the group roles that had rights."""
    tables: Mapping[str, TableContent]
    dump_bytes: int = 0
    dump_sha256: str = ""

    def with_dump(self, size: int, digest: str) -> Self:
        """Return the manifest of a backup whose dump is written."""
        return replace(self, dump_bytes=size, dump_sha256=digest)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as it is stored."""
        return {
            "format": FORMAT,
            **asdict(self),
            "taken_at": self.taken_at.isoformat(),
            "role_prefixes": list(self.role_prefixes),
        }


def read_manifest(text: bytes) -> BackupManifest:
    """Return the manifest; InvalidInputError if it is none, or of a later form."""
    try:
        stored = json.loads(text)
        form = stored.pop("format")
        if form != FORMAT:
            raise InvalidInputError(
                f"the backup has the form {form!r}, which this version does not know",
                hint="use the version of activityctl that took it",
            )
        tables = {name: TableContent(**content) for name, content in stored.pop("tables").items()}
        taken_at = datetime.fromisoformat(stored.pop("taken_at"))
        prefixes = tuple(stored.pop("role_prefixes"))
        return BackupManifest(tables=tables, taken_at=taken_at, role_prefixes=prefixes, **stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError("the manifest of the backup is damaged") from error


def counted(tables: Mapping[str, TableContent]) -> list[tuple[str, int]]:
    """Return the number of rows of the tables that a summary names."""
    return [(name, tables[name].rows) for name in SHOWN if name in tables]


def has_data(tables: Mapping[str, int]) -> bool:
    """Return whether a database has anything that a restore would replace, by rows of tables."""
    return any(rows for name, rows in tables.items() if name not in MACHINERY)


def differences(wanted: Mapping[str, TableContent], found: Mapping[str, TableContent]) -> list[str]:
    """Return in which tables restored data differ from those that were backed up."""
    said = []
    for name, content in wanted.items():
        other = found.get(name)
        if other is None:
            said.append(f"{name}: the table is missing")
        elif other.rows != content.rows:
            said.append(f"{name}: {other.rows:,} rows, not {content.rows:,}")
        elif other.content != content.content:
            said.append(f"{name}: {content.rows:,} rows, but not the same")
    return said
