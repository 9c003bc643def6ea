"""AuditEntry: who changed what, when and from where."""

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.values import ids
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

BEGUN: Final = "begun"
"""The outcome of an entry that is kept before a change; another entry says how that has ended."""
_MOMENT: Final = timedelta(microseconds=1)


@frozen_dataclass
class AuditEntry:
    """One change. It has no secret and no payload."""

    id: str
    at: datetime
    actor: str
    """`local`, `token/NAME`, or a user of the command line."""
    action: str
    """Such as `emit` or `tokens create`."""
    target: str
    """What was changed, such as `run/ID`; empty if there is no one object."""
    outcome: str
    """`done`, the code of the error, or `begun`."""
    address: str | None = None
    """The client's; None for the command line."""
    request_id: str | None = None
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    closes: str | None = None
    """The id of the entry that was kept when this change was begun."""

    def closed(self, at: datetime, outcome: str, details: Mapping[str, JsonValue]) -> "AuditEntry":
        """Return the entry that says how the change has ended that this one begins.

        It is later than this one even if the clock was set back: a purge begins with the oldest.
        """
        return replace(
            self,
            id=ids.closing_entry_id(self.id),
            at=max(at, self.at + _MOMENT),
            outcome=outcome,
            details=details,
            closes=self.id,
        )

    def is_closed_by(self, other: "AuditEntry") -> bool:
        """Return whether the other entry says how the change has ended that this one begins."""
        return other.closes == self.id and _change_of(other) == _change_of(self)


def _change_of(entry: AuditEntry) -> tuple[str | None, ...]:
    return entry.actor, entry.action, entry.target, entry.request_id


def audit_view(entry: AuditEntry) -> View:
    """Return the JSON form."""
    return {
        "id": entry.id,
        "at": format_timestamp(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target or None,
        "outcome": entry.outcome,
        "address": entry.address,
        "requestId": entry.request_id,
        "details": dict(entry.details),
    }
