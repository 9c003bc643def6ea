"""Writes entries of the audit, by themselves or in the transaction of what they tell."""

from typing import Any, Final

from activityctl.adapters.postgres.database import (
    Connection,
    bindable,
    to_jsonb,
    to_storable_text,
)
from activityctl.domain.access.audit import AuditEntry

ADD_ENTRY: Final = """
    INSERT INTO audit_entries
        (id, at, actor, action, target, outcome, address, request_id, details, closes)
    SELECT %(id)s, %(at)s, %(actor)s, %(action)s, %(target)s, %(outcome)s, %(address)s,
        %(request_id)s, %(details)s, %(closes)s"""
"""Adds the entry of `entry_values`; a FROM and a WHERE may follow."""
BEGIN_ENTRY: Final = (
    f"{ADD_ENTRY} WHERE set_config('synchronous_commit', 'off', true) IS NOT NULL".encode()
)
"""Adds the entry without a wait for the disk: the commit of the change waits for both."""


async def insert_audit_entry(connection: Connection, entry: AuditEntry) -> None:
    """Keep the entry, in the caller's transaction if there is one."""
    await connection.execute(ADD_ENTRY.encode(), entry_values(entry))


def entry_values(entry: AuditEntry) -> dict[str, Any]:
    """Return the arguments of ADD_ENTRY."""
    values = {
        "id": entry.id,
        "at": entry.at,
        "actor": to_storable_text(entry.actor),
        "action": entry.action,
        "target": to_storable_text(entry.target),
        "outcome": entry.outcome,
        "address": entry.address,
        "request_id": entry.request_id,
        "details": to_jsonb(dict(entry.details)),
        "closes": entry.closes,
    }
    return {name: bindable(value) for name, value in values.items()}
