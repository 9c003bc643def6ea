"""The waits of tasks for events, as routing reads and answers them."""

from collections.abc import Sequence
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection
from activityctl.adapters.postgres.events.rows import EVENT_COLUMNS, event_of
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.events.parts import ANY
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.routing.event_waits import EventAnswer, EventWait
from activityctl.domain.values.ids import TaskId
from activityctl.ports import Work

IS_OPEN: Final = "event IS NOT NULL AND answered_at IS NULL AND ended_at IS NULL"
_SELECT_WAITS: Final = """
    SELECT w.task_id, w.event, w.since, w.own_events, w.looks_after, r.params
    FROM waits w JOIN runs r ON r.id = w.run_id
    WHERE w.event IS NOT NULL AND w.answered_at IS NULL AND w.ended_at IS NULL ORDER BY w.place"""
_SELECT_OLDER: Final = f"""
    SELECT {EVENT_COLUMNS} FROM events e
    WHERE e.arrived_at >= %(since)s AND e.place > %(after)s AND e.routed_at IS NOT NULL
      AND (%(types)s::text[] IS NULL OR e.type = ANY(%(types)s))
    ORDER BY e.place LIMIT %(limit)s"""
# The first answer counts: of an event and the end of the time, one comes first.
_ANSWER: Final = """
    UPDATE waits w SET answered_at = clock_timestamp(), output = e.document
    FROM jsonb_to_recordset(%(rows)s) AS x(task text, event text)
    JOIN events e ON e.id = x.event
    WHERE w.task_id = x.task AND w.answered_at IS NULL AND w.ended_at IS NULL"""
_LOOKED: Final = """
    UPDATE waits w SET looks_after = x.place
    FROM jsonb_to_recordset(%(rows)s) AS x(task text, place bigint) WHERE w.task_id = x.task"""


async def read_event_waits(connection: Connection) -> list[EventWait]:
    """Return every open wait for an event that has no answer."""
    cursor = await connection.execute(_SELECT_WAITS)
    return [
        EventWait(
            TaskId(row["task_id"]),
            row["event"],
            row["params"],
            row["since"],
            frozenset(row["own_events"] or ()),
            row["looks_after"],
        )
        for row in await cursor.fetchall()
    ]


async def read_older_events(
    connection: Connection, wait: EventWait, limit: int
) -> list[ArrivedEvent]:
    """Return routed events that may end the wait, in the order of arrival."""
    types = wait.pattern.get("type")
    listed = [types] if isinstance(types, str) else types
    is_exact = listed and not any(ANY in name for name in listed)
    values = {
        "since": wait.since,
        "after": wait.looks_after or 0,
        "types": listed if is_exact else None,
        "limit": limit,
    }
    cursor = await connection.execute(_SELECT_OLDER.encode(), values)
    return [event_of(row) for row in await cursor.fetchall()]


async def write_answers(
    connection: Connection,
    answers: Sequence[EventAnswer],
    looked: Sequence[tuple[TaskId, int | None]],
) -> None:
    """Write the answers to waits that have none, and how far waits have looked back."""
    rows: list[dict[str, Any]]
    if looked:
        rows = [{"task": task_id, "place": place} for task_id, place in looked]
        await connection.execute(_LOOKED, {"rows": Jsonb(rows)})
    if answers:
        rows = [{"task": answer.task_id, "event": answer.event_id} for answer in answers]
        await connection.execute(_ANSWER, {"rows": Jsonb(rows)})
        await wake_workers(connection, Work.WAIT)
