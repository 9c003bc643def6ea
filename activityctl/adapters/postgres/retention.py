"""Removes old runs, tasks, attempts, log entries and dead letters, a few in each transaction."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database
from activityctl.adapters.postgres.letter_status import LAST_ACTION, LETTER_STATUS
from activityctl.domain.values import ids
from activityctl.domain.values.retention import SHORTEST, Keep, RetainedKind
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Batch, OldRows, Place

_OPEN_LETTER: Final = f"""EXISTS (
    SELECT FROM dead_letters d {LAST_ACTION} WHERE d.run_id = x.id AND {LETTER_STATUS} = 'open')"""
_RUN_MAY_GO: Final = f"""x.ended_at < clock_timestamp() - %(shortest)s::interval
    AND NOT {_OPEN_LETTER}
    AND NOT EXISTS (SELECT FROM runs later WHERE later.replay_of = x.id)
    AND NOT EXISTS (SELECT FROM subscriptions s WHERE s.paused_by_run = x.id)
    AND NOT EXISTS (SELECT FROM waits w WHERE w.child_run_id = x.id AND w.ended_at IS NULL)
    AND (x.throttle_key IS NULL OR x.ended_at < clock_timestamp() - interval '31 days')
    AND NOT EXISTS (
        SELECT FROM firings f WHERE f.subscription_id = x.subscription_id
            AND f.trigger = x.trigger AND f.firing_key = x.firing_key
            AND (f.dispatched_at IS NULL OR f.backfill_id IS NOT NULL))"""
"""An open dead letter, a retry, a pause, a parent, a throttle or a backfill needs the run."""
_TASKS_MAY_GO: Final = f"""x.ended_at < clock_timestamp() - %(shortest)s::interval
    AND NOT {_OPEN_LETTER} AND NOT EXISTS (
        SELECT FROM runs later WHERE later.replay_of = x.id AND later.ended_at IS NULL)"""
_LETTER_MAY_GO: Final = f"""x.created_at < clock_timestamp() - %(shortest)s::interval
    AND (SELECT {LETTER_STATUS} FROM (SELECT x.id) d {LAST_ACTION}) <> 'open'"""
_ENTRY_MAY_GO: Final = """x.created_at < clock_timestamp() - %(shortest)s::interval
    AND NOT EXISTS (SELECT FROM runs r WHERE r.id = x.run_id AND r.ended_at IS NULL)"""


@frozen_dataclass
class _Kind:
    """Where the rows of a kind are, and what may go."""

    table: str
    order: tuple[str, ...]
    """The columns that order them by age; an index has them."""
    may_go: str
    has: str = "true"
    """Only rows for which this holds are looked at."""


_WITH_TASKS: Final = "EXISTS (SELECT FROM tasks t WHERE t.run_id = x.id)"
_WITH_ATTEMPTS: Final = """EXISTS (SELECT FROM tasks t JOIN attempts a ON a.task_id = t.id
    WHERE t.run_id = x.id)"""
_KINDS: Final[Mapping[RetainedKind, _Kind]] = {
    "runs": _Kind("runs", ("created_at", "id"), _RUN_MAY_GO),
    "tasks": _Kind("runs", ("created_at", "id"), _TASKS_MAY_GO, _WITH_TASKS),
    "attempts": _Kind("runs", ("created_at", "id"), _TASKS_MAY_GO, _WITH_ATTEMPTS),
    "logs": _Kind("log_entries", ("id",), _ENTRY_MAY_GO),
    "deadletters": _Kind("dead_letters", ("created_at", "id"), _LETTER_MAY_GO),
}
_FORGET: Final[Mapping[RetainedKind, str]] = {
    "audit": "SELECT forget_audit(%(age)s, %(limit)s) AS removed",
    "spends": "SELECT forget_spends(%(age)s, %(limit)s) AS removed",
}
"""A worker may not delete these; the functions have bounds of their own."""
_FORGOTTEN: Final[Mapping[RetainedKind, str]] = {
    "audit": "SELECT at, true AS may_go FROM audit_entries",
    "spends": """SELECT at, true AS may_go FROM spends UNION ALL
        SELECT at, NOT EXISTS (SELECT FROM hooks h WHERE h.key = c.hook_key)
        FROM signed_calls c""",
}
_OF_ONE_LOG: Final = ("transaction", "id")
"""The order of the entries of one subscription."""
_OF_RUNS: Final = "SELECT id FROM tasks WHERE run_id = ANY(%(ids)s)"
_ATTEMPTS: Final = (
    f"DELETE FROM attempts WHERE task_id IN ({_OF_RUNS})",
    "DELETE FROM attempts WHERE lookup_of = ANY(%(ids)s)",
)
_TASKS: Final = (
    *_ATTEMPTS,
    f"DELETE FROM holds WHERE task_id IN ({_OF_RUNS})",
    """DELETE FROM holds WHERE task_id IN (
        SELECT h.task_id FROM holds h JOIN unnest(%(ids)s::text[]) AS r(id)
        ON starts_with(h.task_id, r.id || '/context/'))""",
    f"DELETE FROM waits WHERE task_id IN ({_OF_RUNS})",
    "DELETE FROM tasks WHERE run_id = ANY(%(ids)s)",
)
_LETTERS: Final = (
    """DELETE FROM letter_actions WHERE letter_id IN
        (SELECT id FROM dead_letters WHERE run_id = ANY(%(ids)s))""",
    "DELETE FROM dead_letters WHERE run_id = ANY(%(ids)s)",
)
_REMOVE: Final[Mapping[RetainedKind, Sequence[str]]] = {
    "runs": (
        *_TASKS,
        *_LETTERS,
        "DELETE FROM late_runs WHERE run_id = ANY(%(ids)s)",
        "DELETE FROM hooks WHERE run_id = ANY(%(ids)s)",
        "DELETE FROM firings WHERE id = ANY(%(firings)s)",
        "DELETE FROM runs WHERE id = ANY(%(ids)s)",
    ),
    "tasks": _TASKS,
    "attempts": _ATTEMPTS,
    "logs": ("DELETE FROM log_entries WHERE id = ANY(%(ids)s)",),
    "deadletters": (
        "DELETE FROM letter_actions WHERE letter_id = ANY(%(ids)s)",
        "DELETE FROM dead_letters WHERE id = ANY(%(ids)s)",
    ),
}
_LOCKED: Final = "FOR UPDATE OF x SKIP LOCKED"
"""Entries and letters never change, and a worker may not lock them."""
_OLD: Final = "coalesce(x.created_at < clock_timestamp() - %(age)s::interval, false)"


class PostgresRetention:
    """Implements the RetentionStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owners(self) -> Sequence[str]:
        """Return the ids of all subscriptions, also of deleted ones."""
        rows = await self._database.fetch("SELECT id FROM subscriptions ORDER BY id")
        return [row["id"] for row in rows]

    async def remove(
        self, kind: RetainedKind, keep: Keep, owner: str | None, after: Place | None, limit: int
    ) -> Batch:
        """Remove those of the next old rows that nothing needs; oldest first."""
        if kind in _FORGET:
            (row,) = await self._database.fetch(_FORGET[kind], age=keep.age, limit=limit)
            removed: int = row["removed"]
            return Batch(removed, Place(()) if removed >= limit else None)
        facts, order = _KINDS[kind], _order(kind, owner)
        is_old, values = await self._is_old(kind, keep, owner)
        where = [facts.has, *(["x.subscription_id = %(owner)s"] if owner is not None else [])]
        if after is not None:
            where.append(f"({_columns(order)}) > ({_marks('k', order)})")
            values |= {f"k{index}": key for index, key in enumerate(after.keys)}
        firing = ", x.subscription_id, x.trigger, x.firing_key" if kind == "runs" else ""
        async with self._database.transaction() as connection:
            page = await _rows(
                connection,
                f"""SELECT {_columns(order)}, ({is_old}) AS is_old FROM {facts.table} x
                    WHERE {" AND ".join(where)} ORDER BY {_columns(order)} LIMIT %(limit)s""",
                {**values, "limit": limit},
            )
            old = [row["id"] for row in page if row["is_old"]]
            found = await _rows(
                connection,
                f"""SELECT x.id{firing} FROM {facts.table} x
                    WHERE x.id = ANY(%(old)s) AND {facts.may_go}
                    {_LOCKED if facts.table == "runs" else ""}""",
                {**values, "old": old},
            )
            await _delete(connection, kind, found)
        is_last = len(page) < limit or not page[-1]["is_old"]
        after = None if is_last else Place(tuple(page[-1][name] for name in order))
        return Batch(len(found), after)

    async def count(self, kind: RetainedKind, keep: Keep, owner: str | None) -> OldRows:
        """Return what `remove` would remove in all, and what it would leave."""
        if kind in _FORGOTTEN:
            row = await self._database.fetch_one(
                f"""SELECT count(*) FILTER (WHERE may_go) AS going,
                        count(*) FILTER (WHERE NOT may_go) AS held, min(at) AS oldest
                    FROM ({_FORGOTTEN[kind]}) AS rows
                    WHERE at < clock_timestamp() - %(age)s::interval""",
                age=keep.age,
            )
            return OldRows(row["going"], row["held"], row["oldest"]) if row else OldRows()
        facts = _KINDS[kind]
        is_old, values = await self._is_old(kind, keep, owner)
        of_owner = "true" if owner is None else "x.subscription_id = %(owner)s"
        row = await self._database.fetch_one(
            f"""SELECT count(*) FILTER (WHERE may_go) AS going,
                    count(*) FILTER (WHERE may_go IS NOT TRUE) AS held, min(created_at) AS oldest
                FROM (SELECT x.created_at, ({facts.may_go}) AS may_go FROM {facts.table} x
                      WHERE {of_owner} AND {facts.has} AND ({is_old})) AS old""",
            **values,
        )
        return OldRows(row["going"], row["held"], row["oldest"]) if row else OldRows()

    async def _is_old(
        self, kind: RetainedKind, keep: Keep, owner: str | None
    ) -> tuple[str, dict[str, Any]]:
        """Return the condition of old rows, and the values of the statement."""
        values: dict[str, Any] = {"age": keep.age, "owner": owner, "shortest": SHORTEST}
        if owner is None or keep.count is None:
            return _OLD, values
        order = _order(kind, owner)
        newest_first = ", ".join(f"x.{name} DESC" for name in order)
        bound = await self._database.fetch_one(
            f"""SELECT {_columns(order)} FROM {_KINDS[kind].table} x
                WHERE x.subscription_id = %(owner)s
                ORDER BY {newest_first} OFFSET %(count)s LIMIT 1""",
            owner=owner,
            count=keep.count,
        )
        if bound is None:
            return _OLD, values
        values |= {f"b{index}": bound[name] for index, name in enumerate(order)}
        return f"{_OLD} OR ({_columns(order)}) <= ({_marks('b', order)})", values


def _order(kind: RetainedKind, owner: str | None) -> tuple[str, ...]:
    return _OF_ONE_LOG if kind == "logs" and owner is not None else _KINDS[kind].order


def _columns(order: Sequence[str]) -> str:
    return ", ".join(f"x.{name}" for name in order)


def _marks(prefix: str, order: Sequence[str]) -> str:
    return ", ".join(f"%({prefix}{index})s" for index in range(len(order)))


async def _rows(
    connection: Connection, query: str, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    cursor = await connection.execute(query.encode(), values)
    return await cursor.fetchall()


async def _delete(connection: Connection, kind: RetainedKind, rows: Sequence[Any]) -> None:
    if not rows:
        return
    firings = [
        ids.firing_id(row["subscription_id"], row["trigger"], row["firing_key"])
        for row in rows
        if kind == "runs"
    ]
    values = {"ids": [row["id"] for row in rows], "firings": firings}
    async with connection.pipeline():
        for statement in _REMOVE[kind]:
            await connection.execute(statement.encode(), values)
