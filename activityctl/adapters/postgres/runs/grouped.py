"""Openings of runs, begins and ends of attempts: those that come together are one transaction."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from activityctl.adapters.postgres.database import Connection, Database, to_storable_text
from activityctl.adapters.postgres.group_commits import Asked, GroupCommits
from activityctl.adapters.postgres.rows import task_of
from activityctl.adapters.postgres.runs.attempts import BEGIN_ATTEMPTS
from activityctl.adapters.postgres.runs.changes import write_all_opened, write_outcomes
from activityctl.adapters.postgres.runs.known import (
    SELECT_KNOWN_RUNS,
    SELECT_KNOWN_TASKS,
    known_run,
    require_subscriptions,
    require_unchanged,
)
from activityctl.adapters.postgres.runs.writes import INSERT_RUNS, json_parts
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.run_change import RunChange
from activityctl.errors import UnstorableError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import BegunAttempt, KnownRun


@frozen_dataclass
class Begin:
    """An attempt that is to begin; see `RunStore.begin_attempt`."""

    task_id: str
    now: datetime
    worker: str
    reads_run: bool
    lane: str | None


@frozen_dataclass
class Opening:
    """A run to insert; `values` is its row."""

    values: Mapping[str, Any]
    change: RunChange
    version: str | None


class GroupedWrites:
    """Writes what a run store is asked for, with what others ask for at the same time."""

    def __init__(
        self, database: Database, specs: Callable[[], Mapping[str, DefinitionSpec]]
    ) -> None:
        """`specs` returns the specs at hand, by revision id."""
        self._database = database
        self._specs = specs
        self._begins = GroupCommits(self._begin_together)
        self._ends = GroupCommits(self._save_together)
        self._openings = GroupCommits(self._open_together)

    async def begin(self, begin: Begin) -> BegunAttempt | None:
        """Begin the attempt; None if it may not begin."""
        asked = Asked(begin.task_id, begin.lane or begin.task_id, begin)
        return await self._begins.write(asked)

    async def save_unchanged(self, known: KnownRun, change: RunChange) -> bool:
        """Write the change if nothing was decided about the run since; return whether it is."""
        run_id = known.state.run.id
        return bool(await self._ends.write(Asked(run_id, run_id, (known, change))))

    async def open(self, opening: Opening, after: Awaitable[None] | None = None) -> None:
        """Insert the run; with `after`, by itself, and commit when that is done.

        Raises UniqueViolation if it exists, and UnstorableError if the subscription has changed.
        """
        if after is not None:
            await self._open_after(opening, after)
            return
        run_id = opening.change.run.id
        await self._openings.write(Asked(run_id, run_id, opening))

    async def _begin_together(self, begins: Sequence[Begin]) -> list[BegunAttempt | None]:
        reading = [begin.task_id for begin in begins if begin.reads_run]
        values = {
            "ids": [begin.task_id for begin in begins],
            "times": [begin.now for begin in begins],
            "workers": [to_storable_text(begin.worker) for begin in begins],
            "lanes": [begin.lane for begin in begins],
            "reading": reading,
        }
        runs, tasks = [], []
        async with self._database.one_trip() as connection:
            begun = await connection.execute(BEGIN_ATTEMPTS.encode(), values)
            if reading:
                run_cursor = await connection.execute(SELECT_KNOWN_RUNS.encode(), values)
                task_cursor = await connection.execute(SELECT_KNOWN_TASKS.encode(), values)
        if reading:
            runs, tasks = await run_cursor.fetchall(), await task_cursor.fetchall()
        tasks_of = {run: list(rows) for run, rows in groupby(tasks, lambda row: row["run_id"])}
        specs = self._specs()
        known = {row["id"]: known_run(row, tasks_of.get(row["id"], []), specs) for row in runs}
        found = {row["asked_as"]: row for row in await begun.fetchall()}
        return [_begun(begin, found.get(begin.task_id), known) for begin in begins]

    async def _save_together(self, ends: Sequence[tuple[KnownRun, RunChange]]) -> list[bool]:
        ordered = sorted(ends, key=lambda end: _place(end[1]))
        try:
            async with self._database.one_trip() as connection:
                await require_unchanged(connection, [known for known, _ in ordered])
                await write_outcomes(connection, [change for _, change in ordered])
        except UnstorableError:  # of the check, or of the data: then it fails again when locked
            if len(ends) > 1:
                raise
            return [False]
        return [True] * len(ends)

    async def _open_together(self, openings: Sequence[Opening]) -> list[bool]:
        ordered = sorted(openings, key=lambda opening: _place(opening.change))
        versions = {
            (opening.change.run.subscription_id, opening.version)
            for opening in openings
            if opening.version is not None
        }
        async with self._database.one_trip() as connection:
            await _write_openings(connection, ordered, sorted(versions))
        return [True] * len(openings)

    async def _open_after(self, opening: Opening, after: Awaitable[None]) -> None:
        owner, version = opening.change.run.subscription_id, opening.version
        async with self._database.held_transaction() as connection:
            async with connection.pipeline():
                versions = [] if version is None else [(owner, version)]
                await _write_openings(connection, [opening], versions)
            await after


async def _write_openings(
    connection: Connection, openings: Sequence[Opening], versions: Sequence[tuple[str, str]]
) -> None:
    """Insert the runs, if the subscriptions still have these versions."""
    await require_subscriptions(connection, versions)
    for rows in json_parts(opening.values for opening in openings):
        await connection.execute(INSERT_RUNS, {"rows": rows})
    await write_all_opened(connection, [opening.change for opening in openings])


def _place(change: RunChange) -> tuple[str, str]:
    """Return the place of the change in its transaction: all lock rows in the same order."""
    return change.run.subscription_id, change.run.id


def _begun(
    begin: Begin, row: Mapping[str, Any] | None, known: Mapping[str, KnownRun | None]
) -> BegunAttempt | None:
    if row is None:
        return None
    run = known.get(row["run_id"]) if begin.reads_run else None
    return BegunAttempt(task_of(row), row["lost_worker"], row["lost_since"], run)
