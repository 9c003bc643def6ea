"""History: who changed what, when and from which commit; the source of rollbacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from activityctl.domain.document import Document
from activityctl.domain.model import JsonValue


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from."""

    command: str = "apply"
    """apply, sync, delete or rollback."""
    actor: str = "unknown"
    source_commit: str | None = None


UNKNOWN_ORIGIN: Final = Origin()


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of one object; `number` counts the changes of that object from 1."""

    number: int
    kind: str
    name: str
    action: str
    at: datetime
    origin: Origin
    applyset: str | None
    fields: tuple[Mapping[str, JsonValue], ...]
    """Each has `path` and, where there is a value, `old` and `new`."""
    document: Document | None
    """The object as it was after the change; None after a deletion."""
    revision_id: str | None
