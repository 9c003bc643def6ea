"""Lists of runs, task instances and dead letters in Postgres, as the commands show them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Database, prefix_pattern
from activityctl.adapters.postgres.letter_status import OPEN_LETTERS
from activityctl.adapters.postgres.pages import after, place_of
from activityctl.adapters.postgres.rows import (
    RUN_COLUMNS,
    TASK_COLUMNS,
    attempt_of,
    breaker_of,
    run_of,
    task_of,
)
from activityctl.adapters.postgres.runs.accepted import accepted_runs, accepted_with
from activityctl.adapters.postgres.runs.guarded_begin import IS_WAITING, LIMIT_USES
from activityctl.adapters.postgres.runs.letters import list_letters
from activityctl.domain.gitops.waiting import Waiting, WaitingFirings
from activityctl.domain.runs.ambiguous import ambiguous_run
from activityctl.domain.runs.dead_letter import ANY_LETTER, DeadLetter, LetterFilter
from activityctl.domain.runs.latest_run import LatestRun
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance
from activityctl.domain.tasks.attempt import Attempt
from activityctl.domain.tasks.breaker import Breaker
from activityctl.domain.tasks.held_task import HeldTask, parts_of_lookup
from activityctl.domain.tasks.limit_use import LimitUse
from activityctl.domain.values.selection import Selection
from activityctl.errors import CANDIDATES_TOLD, NotFoundError

_IS_SELECTED_RUN: Final = """
    (%(subscription)s::text IS NULL OR r.subscription_id = %(subscription)s)
    AND (%(run)s::text IS NULL OR r.id = %(run)s)
    AND (%(replay_of)s::text IS NULL OR r.replay_of = %(replay_of)s)
    AND (NOT %(are_last)s OR NOT EXISTS (SELECT FROM runs a WHERE a.replay_of = r.id))
    AND (%(since)s::timestamptz IS NULL OR r.created_at >= %(since)s)
    AND (%(labels)s::jsonb IS NULL OR r.subscription_id IN
         (SELECT id FROM subscriptions WHERE labels @> %(labels)s))"""
_ORDER_OF_TASKS: Final = ("r.created_at DESC", "r.id", "t.created_at", "t.name", "t.index")
_COUNT_FIRINGS: Final = """
    SELECT f.subscription_id, v.number AS revision, count(*) AS n
    FROM firings f JOIN revisions v ON v.id = f.revision_id
    WHERE f.dispatched_at IS NULL GROUP BY f.subscription_id, v.number"""
_COUNT_GATHERED: Final = """
    SELECT subscription_id, sum(jsonb_array_length(state -> 'events')) AS n
    FROM gatherings GROUP BY subscription_id"""


class PostgresRunLists:
    """Implements the RunLists port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def runs(self, selection: Selection) -> list[Run]:
        """Return runs, newest first."""
        rows = await self._database.fetch(
            f"""SELECT {RUN_COLUMNS} FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
                WHERE {_IS_SELECTED_RUN}
                  AND (%(statuses)s::text[] IS NULL OR r.status = ANY(%(statuses)s))
                  AND {after(selection, "r.created_at DESC", "r.id")}
                ORDER BY r.created_at DESC, r.id LIMIT %(limit)s""",
            **_values(selection),
        )
        return [run_of(row) for row in rows]

    async def accepted(self, selection: Selection) -> list[Run]:
        """Return firings that have no run yet, as the queued runs that they become."""
        return await accepted_runs(self._database, selection)

    async def open_counts(self) -> dict[str, int]:
        """Return how many running and queued runs each subscription has, by its id."""
        rows = await self._database.fetch(
            """SELECT subscription_id, count(*) AS count FROM runs WHERE ended_at IS NULL
               GROUP BY subscription_id"""
        )
        return {row["subscription_id"]: row["count"] for row in rows}

    async def waiting(self) -> Waiting:
        """Return what is due or gathered and has no run yet, of all subscriptions."""
        async with self._database.connection() as connection, connection.pipeline():
            firings = await connection.execute(_COUNT_FIRINGS.encode())
            gathered = await connection.execute(_COUNT_GATHERED.encode())
        return Waiting(
            tuple(
                WaitingFirings(row["subscription_id"], row["revision"], row["n"])
                for row in await firings.fetchall()
            ),
            {row["subscription_id"]: int(row["n"]) for row in await gathered.fetchall()},
        )

    async def find_run(self, reference: str) -> Run:
        """Return the run or accepted firing with that id, or with that unique prefix of its id.

        Raises NotFoundError when there is none, AmbiguousError when the prefix matches several.
        """
        found = await self._with_prefix(reference)
        if [run.id for run in found] != [reference]:
            accepted = await accepted_with(self._database, reference)
            runs = await self._with_prefix(reference)  # a firing may have become a run meanwhile
            found = list({run.id: run for run in (*accepted, *runs)}.values())
        if not found:
            raise NotFoundError("run", reference, hint="activityctl get runs")
        if len(found) > 1:
            raise ambiguous_run(reference, found)
        return found[0]

    async def _with_prefix(self, reference: str) -> list[Run]:
        rows = await self._database.fetch(
            f"""SELECT {RUN_COLUMNS} FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
                WHERE r.id LIKE %(prefix)s AND %(prefix)s <> '%%'
                ORDER BY r.id LIMIT %(limit)s""",
            prefix=prefix_pattern(reference),
            limit=CANDIDATES_TOLD + 1,
        )
        return [run_of(row) for row in rows]

    async def workflow_of(self, run_id: str) -> str | None:
        """Return the id of the workflow that carries the run; None if it has none."""
        row = await self._database.fetch_one(
            "SELECT workflow_id FROM runs WHERE id = %(run)s", run=run_id
        )
        return row["workflow_id"] or None if row else None

    async def latest_runs(self, subscription_ids: Sequence[str]) -> dict[str, LatestRun]:
        """Return the newest run of each of these subscriptions that has one, by its id."""
        rows = await self._database.fetch(
            """SELECT owner.id AS subscription_id, r.* FROM unnest(%(ids)s::text[]) AS owner(id)
               JOIN LATERAL (
                   SELECT id, status, trigger, created_at, started_at, ended_at FROM runs
                   WHERE subscription_id = owner.id ORDER BY created_at DESC, id LIMIT 1
               ) AS r ON true""",
            ids=list(subscription_ids),
        )
        return {
            row["subscription_id"]: LatestRun(
                row["id"],
                RunStatus(row["status"]),
                row["trigger"],
                row["created_at"],
                row["started_at"],
                row["ended_at"],
            )
            for row in rows
        }

    async def runs_of(self, run_ids: Sequence[str]) -> list[Run]:
        """Return those of these runs that exist, in any order."""
        rows = await self._database.fetch(
            f"""SELECT {RUN_COLUMNS} FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
                WHERE r.id = ANY(%(ids)s)""",
            ids=list(run_ids),
        )
        return [run_of(row) for row in rows]

    async def tasks(self, selection: Selection) -> list[TaskInstance]:
        """Return task instances, those of the newest run first."""
        rows = await self._database.fetch(
            f"""SELECT {TASK_COLUMNS} FROM tasks t JOIN runs r ON r.id = t.run_id
                WHERE {_IS_SELECTED_RUN}
                  AND (%(statuses)s::text[] IS NULL OR t.status = ANY(%(statuses)s))
                  AND (%(name)s::text IS NULL OR t.id LIKE %(prefix)s)
                  AND (%(assignee)s::text IS NULL
                       OR t.kind = 'manual' AND t.input ->> 'assignee' = %(assignee)s)
                  AND {after(selection, *_ORDER_OF_TASKS)}
                ORDER BY {", ".join(_ORDER_OF_TASKS)} LIMIT %(limit)s""",
            name=selection.name,
            prefix=prefix_pattern(selection.name or ""),
            assignee=selection.assignee,
            **_values(selection),
        )
        return [task_of(row) for row in rows]

    async def attempts(self, task_ids: Sequence[str]) -> list[Attempt]:
        """Return the attempts of these tasks, by task and number."""
        rows = await self._database.fetch(
            "SELECT * FROM attempts WHERE task_id = ANY(%(ids)s) ORDER BY task_id, number",
            ids=list(task_ids),
        )
        return [attempt_of(row) for row in rows]

    async def held(self, task_ids: Sequence[str]) -> list[HeldTask]:
        """Return what holds up those of these tasks that a breaker or a limit holds up."""
        rows = await self._database.fetch(
            """SELECT h.* FROM holds h JOIN tasks t ON t.id = h.task_id
               WHERE h.task_id = ANY(%(ids)s) AND t.ended_at IS NULL""",
            ids=list(task_ids),
        )
        return [
            HeldTask(
                row["task_id"], row["breaker"], row["limit_name"], row["since"], row["look_at"]
            )
            for row in rows
        ]

    async def limit_uses(self) -> list[LimitUse]:
        """Return how far each limit is used that a task has ever asked, by name."""
        rows = await self._database.fetch(LIMIT_USES)
        return [
            LimitUse(row["name"], row["at_work"], row["waiting"], row["next_at"]) for row in rows
        ]

    async def held_by_limit(self, name: str, most: int) -> list[HeldTask]:
        """Return tasks that wait for the limit; those that ask again first come first."""
        rows = await self._database.fetch(
            f"""SELECT h.*, t.name, t.run_id FROM holds h LEFT JOIN tasks t ON t.id = h.task_id
               WHERE h.limit_name = %(name)s AND {IS_WAITING}
               ORDER BY h.look_at, h.place LIMIT %(most)s""",
            name=name,
            most=most,
        )
        return [_held_by_limit(row, name) for row in rows]

    async def breakers(self, selection: Selection) -> list[Breaker]:
        """Return the breakers that have ever opened, by name."""
        rows = await self._database.fetch(
            """SELECT * FROM breakers b WHERE b.openings > 0
                   AND (%(name)s::text IS NULL OR b.name = %(name)s)
                   AND (%(statuses)s::text[] IS NULL OR b.status = ANY(%(statuses)s))
               ORDER BY b.name LIMIT %(limit)s""",
            name=selection.name,
            **_values(selection),
        )
        return [breaker_of(row) for row in rows]

    async def dead_letters(
        self, selection: Selection, letters: LetterFilter = ANY_LETTER
    ) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        return await list_letters(self._database, selection, letters)

    async def open_letters(self, subscription_ids: Sequence[str]) -> dict[str, int]:
        """Return how many open dead letters each of these subscriptions has, if any, by its id."""
        rows = await self._database.fetch(
            OPEN_LETTERS.replace("%s", "AND d.subscription_id = ANY(%(ids)s)"),
            ids=list(subscription_ids),
        )
        return {row["subscription_id"]: row["count"] for row in rows}


def _held_by_limit(row: Mapping[str, Any], limit: str) -> HeldTask:
    held = HeldTask(row["task_id"], None, limit, row["since"], row["look_at"])
    if row["run_id"] is not None:
        return replace(held, name=row["name"], run_id=row["run_id"])
    run_id, name = parts_of_lookup(row["task_id"])
    return replace(held, name=f"context.{name}", run_id=run_id)


def _values(selection: Selection) -> dict[str, object]:
    return {
        "subscription": selection.subscription_id,
        "run": selection.run_id,
        "replay_of": selection.replay_of,
        "are_last": selection.are_last,
        "since": selection.since,
        "labels": Jsonb(dict(selection.labels)) if selection.labels else None,
        "statuses": list(selection.statuses) or None,
        "limit": selection.limit,
        **place_of(selection),
    }
