"""AuditEntry: who changed what, when and from where."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.model import JsonValue


@dataclass(frozen=True, slots=True)
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
    """`done`, or the code of the error."""
    address: str | None = None
    """The client's; None for the command line."""
    request_id: str | None = None
    details: Mapping[str, JsonValue] = field(default_factory=dict)


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
