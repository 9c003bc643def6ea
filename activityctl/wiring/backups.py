"""Takes, verifies and restores backups of the database."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from activityctl.domain.values.backup import BackupManifest
from activityctl.version import VERSION
from activityctl.wiring.servers import migrate

if TYPE_CHECKING:
    from activityctl.adapters.postgres.backups.archive import BackupFile
    from activityctl.adapters.postgres.backups.load import Target

Tell = Callable[[str], None]


def take_backup(url: str, path: Path, *, replaces: bool, tell: Tell) -> BackupManifest:
    """Write a backup of the database to a file, whole or not at all."""
    from activityctl.adapters.postgres.backups import dump

    return dump.take_backup(url, path, VERSION, replaces=replaces, tell=tell)


def open_backup(path: Path) -> "BackupFile":
    """Read the manifest of a backup; InvalidInputError if the file is none."""
    from activityctl.adapters.postgres.backups.archive import BackupFile

    return BackupFile(path)


def verify_backup(maintenance_url: str, backup: "BackupFile", tell: Tell) -> None:
    """Restore into a new database and compare all tables; RefusedError if they differ."""
    from activityctl.adapters.postgres.backups import load

    load.verify_backup(maintenance_url, backup, tell)


def look_at_target(url: str, backup: "BackupFile") -> "Target":
    """Return what a restore would replace; an error if the backup cannot be restored there."""
    from activityctl.adapters.postgres.backups import load

    return load.look_at_target(url, backup)


def load_backup(
    url: str, backup: "BackupFile", role_prefixes: Sequence[str], tell: Tell
) -> list[str]:
    """Replace our tables by those of the backup, and bring them to the newest schema.

    The roles of these prefixes get their rights again. Returns the prefixes whose roles do not
    exist in this cluster.
    """
    from activityctl.adapters.postgres.backups import load

    load.load_backup(url, backup, tell)
    tell("bringing the schema to the newest version")
    migrate(url)
    missing = load.prefixes_without_roles(url, role_prefixes)
    for prefix in role_prefixes:
        if prefix not in missing:
            migrate(url, roles_prefix=prefix)
    return missing
