"""History: who changed an object, when and from which commit. Rollbacks use it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Final

from activityctl.domain.manifests.document import Document, differences
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Origin:
    """Where a change comes from."""

    command: str = "apply"
    """One of apply, sync, delete, rollback, state set and state reset."""
    actor: str = "unknown"
    source_commit: str | None = None


UNKNOWN_ORIGIN: Final = Origin()


@frozen_dataclass
class PastApply:
    """A recorded apply, which changed at least one object."""

    at: datetime
    origin: Origin


@frozen_dataclass
class PastChange:
    """One change of one object; `number` counts the changes of the object from 1."""

    number: int
    kind: str
    name: str
    action: str
    at: datetime
    origin: Origin
    applyset: str | None
    fields: tuple[Mapping[str, JsonValue], ...]
    """Each has `path`, and `old` and `new` where there is such a value."""
    document: Document | None
    """The object as it was after the change; None after a deletion."""
    revision_id: str | None


def rolled_back_to(entry: PastChange, entries: Sequence[PastChange]) -> int | None:
    """Return the number of the change whose content a rollback restored; None for no rollback.

    If several changes had this content, it is the latest of them. `entries` must have the newest
    first.
    """
    if entry.origin.command != "rollback":
        return None
    earlier = (past for past in entries if past.number < entry.number and past.document is not None)
    same = (past.number for past in earlier if not differences(past.document, entry.document))
    return next(same, None)


def former_set(entries: Sequence[PastChange]) -> str | None:
    """Return the apply set that a deleted object was in; None for none or a live object.

    `entries` must have the newest first.
    """
    if not entries or entries[0].document is not None:
        return None
    last_life = takewhile(lambda past: past.document is not None, entries[1:])
    return next((past.applyset for past in last_life if past.applyset is not None), None)
