"""Dead letters in Postgres: the list of them, and what people do with them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import (
    Connection,
    Database,
    prefix_pattern,
    to_storable_text,
)
from activityctl.adapters.postgres.letter_status import LAST_ACTION, LETTER_STATUS
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.pages import after, place_of
from activityctl.adapters.postgres.runs.replays import insert_firings
from activityctl.domain.runs.dead_letter import (
    DeadLetter,
    LetterAction,
    LetterFilter,
    LetterOutcome,
    LetterRequest,
    options_of_retry,
)
from activityctl.domain.runs.letter_log import action_entry
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection

_ACTION: Final = """a.number, a.action, a.actor, a.reason AS action_reason, a.run_id AS retry_run,
    a.new_revision, a.new_keys, a.created_at AS acted_at,
    ar.status AS retry_status, ar.reason AS retry_reason"""
# A letter is about the task that its reason names first: others may have failed before, with
# continueOnError. A task of onFailure may fail too, but it is never what the letter is about.
_LIST: Final = f"""
    SELECT d.*, s.name AS subscription, r.definition, r.trigger, r.replay_of, f.task, {_ACTION}
    FROM dead_letters d JOIN runs r ON r.id = d.run_id
    JOIN subscriptions s ON s.id = d.subscription_id
    LEFT JOIN LATERAL (
        SELECT t.name AS bare, address.text AS task
        FROM tasks t CROSS JOIN LATERAL (
            SELECT t.name || CASE WHEN t.of > 0 THEN '[' || t.index || ']' ELSE '' END AS text
        ) AS address
        WHERE t.run_id = d.run_id AND t.status = 'failed' AND t.phase <> 'onFailure'
        ORDER BY nullif(position('task ' || address.text || ' failed: ' IN d.reason), 0),
            t.created_at, t.name, t.index LIMIT 1) f ON true {LAST_ACTION}
    WHERE (%(subscription)s::text IS NULL OR d.subscription_id = %(subscription)s)
      AND (%(run)s::text IS NULL OR d.run_id = %(run)s)
      AND (%(since)s::timestamptz IS NULL OR d.created_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR d.created_at < %(until)s)
      AND (%(name)s::text IS NULL OR d.id LIKE %(prefix)s)
      AND (%(statuses)s::text[] IS NULL OR {LETTER_STATUS} = ANY(%(statuses)s))
      AND (%(definition)s::text IS NULL OR r.definition = %(definition)s)
      AND (%(task)s::text IS NULL OR %(task)s IN (f.bare, f.task))
      AND (%(error)s::text IS NULL OR position(lower(%(error)s) IN lower(d.reason)) > 0)
      AND (%(labels)s::jsonb IS NULL OR s.labels @> %(labels)s::jsonb)
      AND {{after}}
    ORDER BY d.created_at DESC, d.id LIMIT %(limit)s"""
_SELECT_ACTIONS: Final = f"""
    SELECT {_ACTION} FROM letter_actions a LEFT JOIN runs ar ON ar.id = a.run_id
    WHERE a.letter_id = %(id)s ORDER BY a.number"""
_SELECT_LETTERS: Final = f"""
    SELECT d.id, d.run_id, d.subscription_id, r.trigger, s.status = 'deleted' AS is_deleted,
        coalesce(a.number, 0) AS number, {LETTER_STATUS} AS status
    FROM dead_letters d JOIN runs r ON r.id = d.run_id
    JOIN subscriptions s ON s.id = d.subscription_id {LAST_ACTION}
    WHERE d.id = ANY(%(ids)s) ORDER BY d.id"""
# Of two commands at once, the second waits here and finds the number taken.
_INSERT_ACTIONS: Final = """
    INSERT INTO letter_actions (letter_id, number, action, actor, reason, run_id, new_revision,
        new_keys, created_at)
    SELECT u.id, u.number, %(action)s, %(actor)s, %(reason)s, u.run, %(new_revision)s,
        %(new_keys)s, %(now)s
    FROM unnest(%(ids)s::text[], %(numbers)s::int[], %(runs)s::text[]) AS u(id, number, run)
    ON CONFLICT DO NOTHING RETURNING letter_id"""


async def list_letters(
    database: Database, selection: Selection, letters: LetterFilter
) -> list[DeadLetter]:
    """Return dead letters, newest first, each with the last action."""
    rows = await database.fetch(
        _LIST.replace("{after}", after(selection, "d.created_at DESC", "d.id")),
        subscription=selection.subscription_id,
        run=selection.run_id,
        since=selection.since,
        until=selection.until,
        name=selection.name,
        prefix=prefix_pattern(selection.name or ""),
        statuses=list(selection.statuses) or None,
        definition=letters.definition,
        task=letters.task,
        error=letters.error,
        labels=Jsonb(dict(selection.labels)) if selection.labels else None,
        limit=selection.limit,
        **place_of(selection),
    )
    return [_letter_of(row) for row in rows]


def _letter_of(row: Mapping[str, Any]) -> DeadLetter:
    return DeadLetter(
        row["id"],
        row["run_id"],
        row["subscription_id"],
        row["reason"],
        row["created_at"],
        row["subscription"],
        row["definition"],
        row["trigger"],
        row["task"],
        row["replay_of"],
        () if row["action"] is None else (_action_of(row),),
    )


def _action_of(row: Mapping[str, Any]) -> LetterAction:
    return LetterAction(
        row["number"],
        row["action"],
        row["actor"],
        row["acted_at"],
        row["action_reason"],
        ids.RunId(row["retry_run"]) if row["retry_run"] else None,
        RunStatus(row["retry_status"]) if row["retry_status"] else None,
        row["retry_reason"],
        row["new_revision"],
        row["new_keys"],
    )


class PostgresDeadLetters:
    """Implements the DeadLetters port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def actions(self, letter_id: str) -> list[LetterAction]:
        """Return what was done with the letter, oldest first."""
        rows = await self._database.fetch(_SELECT_ACTIONS, id=letter_id)
        return [_action_of(row) for row in rows]

    async def discard(
        self, letter_ids: Sequence[str], request: LetterRequest, now: datetime
    ) -> list[LetterOutcome]:
        """Close each open letter; return one outcome for each."""
        async with self._database.transaction() as connection:
            found = await _letters(connection, letter_ids)
            open_letters = [row for row in found if row["status"] == "open"]
            taken = await _act(connection, "discarded", open_letters, request, now)
            await _log(
                connection, "discarded", [row for row in found if row["id"] in taken], request, now
            )
        return [
            LetterOutcome(row["id"], "discarded" if row["id"] in taken else "not_open")
            for row in found
        ]

    async def retry(
        self, letter_ids: Sequence[str], request: LetterRequest, now: datetime
    ) -> list[LetterOutcome]:
        """Store the firing of a new run for each open letter; return one outcome for each."""
        async with self._database.transaction() as connection:
            found = await _letters(connection, letter_ids)
            chosen = [row for row in found if row["status"] == "open" and not row["is_deleted"]]
            taken = await _act(connection, "retried", chosen, request, now)
            acted = [row for row in chosen if row["id"] in taken]
            await insert_firings(
                connection,
                acted,
                [_key(row) for row in acted],
                options_of_retry(request),
                now,
                latest=request.new_revision,
            )
            await _log(connection, "retried", acted, request, now)
        return [_outcome(row, row["id"] in taken) for row in found]


def _outcome(row: Mapping[str, Any], is_taken: bool) -> LetterOutcome:  # noqa: FBT001  # private
    if is_taken:
        return LetterOutcome(row["id"], "retried", _run_id(row))
    is_deleted = row["status"] == "open" and row["is_deleted"]
    return LetterOutcome(row["id"], "deleted" if is_deleted else "not_open")


async def _letters(connection: Connection, letter_ids: Sequence[str]) -> list[dict[str, Any]]:
    cursor = await connection.execute(_SELECT_LETTERS.encode(), {"ids": list(letter_ids)})
    return await cursor.fetchall()


async def _act(
    connection: Connection,
    action: str,
    letters: Sequence[Mapping[str, Any]],
    request: LetterRequest,
    now: datetime,
) -> set[str]:
    """Add the action to the letters; return those of which nobody else was faster."""
    is_retry = action == "retried"
    values = {
        "action": action,
        "actor": to_storable_text(request.actor),
        "reason": to_storable_text(request.reason),
        "new_revision": request.new_revision,
        "new_keys": request.new_keys,
        "now": now,
        "ids": [row["id"] for row in letters],
        "numbers": [row["number"] + 1 for row in letters],
        "runs": [_run_id(row) if is_retry else None for row in letters],
    }
    cursor = await connection.execute(_INSERT_ACTIONS, values)
    return {row["letter_id"] for row in await cursor.fetchall()}


async def _log(
    connection: Connection,
    action: str,
    letters: Sequence[Mapping[str, Any]],
    request: LetterRequest,
    now: datetime,
) -> None:
    entries = [
        action_entry(
            row["subscription_id"],
            row["run_id"],
            request,
            now,
            retried_by=_run_id(row) if action == "retried" else None,
        )
        for row in letters
    ]
    await insert_log_entries(connection, entries)


def _key(row: Mapping[str, Any]) -> str:
    return ids.retry_key(row["run_id"], row["number"] + 1)


def _run_id(row: Mapping[str, Any]) -> ids.RunId:
    return ids.run_id(row["subscription_id"], row["trigger"], _key(row))
