"""History: who changed what, when and from which commit; the source of rollbacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Final

from activityctl.domain.manifests.document import Document, differences
from activityctl.domain.values.model import JsonValue


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from."""

    command: str = "apply"
    """apply, sync, delete or rollback."""
    actor: str = "unknown"
    source_commit: str | None = None


UNKNOWN_ORIGIN: Final = Origin()


@dataclass(frozen=True, slots=True)
class PastChange:
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


def rolled_back_to(entry: PastChange, entries: Sequence[PastChange]) -> int | None:
    """Return the number of the change whose content a rollback gave again; None for no rollback.

    Of changes that gave the same content it is the latest. `entries` have the newest first.
    """
    if entry.origin.command != "rollback":
        return None
    earlier = (one for one in entries if one.number < entry.number and one.document is not None)
    same = (one.number for one in earlier if not differences(one.document, entry.document))
    return next(same, None)


def former_set(entries: Sequence[PastChange]) -> str | None:
    """Return the apply set that a deleted object was in; None for none, and while it lives.

    `entries` have the newest first.
    """
    if not entries or entries[0].document is not None:
        return None
    life = takewhile(lambda one: one.document is not None, entries[1:])
    return next((one.applyset for one in life if one.applyset is not None), None)
