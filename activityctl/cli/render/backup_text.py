"""What backups have and what restores did, as lines for a person and as JSON."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from activityctl.cli.render.output import age
from activityctl.domain.values.backup import SHOWN, BackupManifest, counted
from activityctl.domain.values.json_form import API_VERSION, View, format_timestamp
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_line
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Restore

NOT_IN_IT: Final = (
    "not in it: secrets of the key store, the config file, manifests (git has them), data of "
    "Temporal"
)
_NOUNS: Final = {
    "definitions": ("definition", "definitions"),
    "subscriptions": ("subscription", "subscriptions"),
    "runs": ("run", "runs"),
    "tasks": ("task", "tasks"),
    "events": ("event", "events"),
    "log_entries": ("log entry", "log entries"),
}
_NAMED: Final = 20


@frozen_dataclass
class Restored:
    """What a restore did."""

    manifest: BackupManifest
    revision: str
    """The revision of the schema now."""
    missing_roles: Sequence[str]
    """The prefixes whose group roles do not exist in this cluster."""
    settled: Restore | None
    """What became of Temporal's workflows; None if no worker has looked yet."""


def summary_lines(manifest: BackupManifest, file: Path, *, is_verified: bool) -> Iterator[str]:
    """Yield what a backup has."""
    size = file.stat().st_size / 1e6
    taken = format_timestamp(manifest.taken_at)
    yield (
        f"{escape_line(os.fspath(file))}: {size:,.1f} MB, taken {taken}, "
        f"schema {manifest.schema_revision}, activityctl {manifest.version}"
    )
    yield _counts(dict(counted(manifest.tables)))
    if is_verified:
        rows = sum(content.rows for content in manifest.tables.values())
        yield (
            f"verified: restored into a new database; all {len(manifest.tables)} tables with "
            f"{rows:,} rows are the same"
        )
    yield NOT_IN_IT


def replaced_text(rows: Mapping[str, int]) -> str:
    """Return what a database has that a restore would replace."""
    found = {name: rows[name] for name in SHOWN if rows.get(name)}
    return _counts(found) if found else "objects or settings of its own"


def restored_lines(restored: Restored, file: Path) -> Iterator[str]:
    """Yield what a restore did, what is gone, and what to do next."""
    manifest = restored.manifest
    taken = format_timestamp(manifest.taken_at)
    yield f"restored {escape_line(os.fspath(file))} of {taken} ({age(taken)} ago)"
    yield _counts(dict(counted(manifest.tables)))
    if restored.revision != manifest.schema_revision:
        yield f"the schema was migrated from {manifest.schema_revision} to {restored.revision}"
    yield (
        "gone: what has happened since then, such as events, firings, runs, answers and applies; "
        "send events again, and apply again"
    )
    yield NOT_IN_IT
    for prefix in restored.missing_roles:
        yield (
            f"the roles {prefix}_… do not exist here: activityctl migrate --roles --prefix {prefix}"
        )
    yield from _settled_lines(restored.settled)


def _settled_lines(settled: Restore | None) -> Iterator[str]:
    if settled is None:
        yield (
            "next: start a worker, or `activityctl recover`. It ends what Temporal has under way, "
            "and begins the open runs of the backup again; tasks that have ended stay ended"
        )
        return
    count = count_noun(settled.ended_count, "workflow", "workflows")
    yield (
        f"Temporal: ended {count} that the backup does not know; the open runs of the backup "
        "begin again, and tasks that have ended stay ended"
    )
    yield from (f"  {escape_line(each)}" for each in settled.ended[:_NAMED])
    if settled.ended_count > _NAMED:
        yield f"  and {settled.ended_count - _NAMED} more; -o json lists more"


def backup_view(manifest: BackupManifest, file: Path, *, is_verified: bool) -> View:
    """Return the JSON view of a backup."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Backup",
        "file": os.fspath(file),
        "bytes": file.stat().st_size,
        "takenAt": format_timestamp(manifest.taken_at),
        "version": manifest.version,
        "schema": manifest.schema_revision,
        "sha256": manifest.dump_sha256,
        "rows": {name: content.rows for name, content in manifest.tables.items()},
        "verified": is_verified,
    }


def restore_view(restored: Restored, file: Path) -> View:
    """Return the JSON view of a restore."""
    manifest, settled = restored.manifest, restored.settled
    return {
        "apiVersion": API_VERSION,
        "kind": "Restore",
        "file": os.fspath(file),
        "takenAt": format_timestamp(manifest.taken_at),
        "schema": restored.revision,
        "migratedFrom": manifest.schema_revision,
        "rows": {name: content.rows for name, content in manifest.tables.items()},
        "missingRoles": list(restored.missing_roles),
        "settled": None
        if settled is None
        else {
            "at": format_timestamp(settled.settled_at),
            "endedWorkflows": settled.ended_count,
            "workflows": list(settled.ended),
        },
    }


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(count_noun(count, *_NOUNS.get(name, (name,))) for name, count in rows.items())
