"""The call through which a login of the database stores an event, with columns of its choice."""

import json

from activityctl.domain.values import ids

EVENT_ID = ids.event_id("/x", "x")
DIGEST = "d" * 64
DOCUMENT = {
    "specversion": "1.0",
    "id": "x",
    "source": "/x",
    "type": "t",
    "subject": "s",
    "time": "2026-01-01T00:00:00Z",
    "data": "secret",
}


def add_event(document: object = DOCUMENT, **columns: str | None) -> str:
    """Return the call that stores an event, with other columns or another document."""
    given = {
        "id": str(EVENT_ID),
        "source": "/x",
        "event_id": "x",
        "type": "t",
        "subject": "s",
        "time": "2026-01-01",
        "digest": DIGEST,
        "document": document if isinstance(document, str) else json.dumps(document),
        **columns,
    }
    values = ["NULL" if v is None else "'" + v.replace("'", "''") + "'" for v in given.values()]
    kinds = ["text"] * 5 + ["timestamptz"] + ["text"] * 2
    arrays = (f"ARRAY[{v}]::{kind}[]" for v, kind in zip(values, kinds, strict=True))
    return f"SELECT add_events({', '.join(arrays)})"
