"""The register of schedules in Postgres: which alarms they want, and which Temporal has."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.database import Database, to_storable_text
from activityctl.adapters.postgres.locks import Lock, try_lock
from activityctl.adapters.postgres.schedule_status import SCHEDULE_STATUS
from activityctl.domain.gitops.drift import StoredAlarm
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.timing.alarm import Alarm, stored_alarm
from activityctl.domain.timing.silent_schedules import SILENT_AFTER, has_no_clock_change
from activityctl.domain.values.ids import AlarmId, ScheduleId, SubscriptionId
from activityctl.domain.values.selection import Selection
from activityctl.ports import ListedSchedule, UnsyncedAlarm

# Who wants an alarm is never stored, only asked: so no change of a schedule can forget it.
_WANTED: Final = """
    SELECT alarm_id AS id FROM schedules
    WHERE is_active AND next_at IS NOT NULL AND alarm_id IS NOT NULL"""
# Triggers with one alarm id may be spelled differently, but give equal alarms.
_TIMING: Final = """
    LEFT JOIN LATERAL (SELECT c.kind, c.body FROM schedules c
        WHERE c.alarm_id = {id} AND c.is_active AND c.next_at IS NOT NULL LIMIT 1) AS timing
        ON true"""
_SELECT_UNSYNCED: Final = f"""
    SELECT x.*, timing.kind, timing.body FROM (
        SELECT coalesce(w.id, a.id) AS id, w.id IS NULL AS is_unwanted, a.error FROM alarms a
        FULL JOIN (SELECT DISTINCT id FROM ({_WANTED}) AS wanting) AS w ON w.id = a.id
        WHERE w.id IS NULL OR a.observed_at IS NULL
        ORDER BY a.error IS NOT NULL, w.id IS NULL,
            CASE WHEN a.error IS NULL THEN coalesce(w.id, a.id) END, random()
        LIMIT %(limit)s) AS x {_TIMING.format(id="x.id")}"""
_SELECT_UNSYNCED_OF: Final = f"""
    SELECT c.alarm_id AS id, max(a.error) AS error
    FROM schedules c LEFT JOIN alarms a ON a.id = c.alarm_id
    WHERE c.subscription_id = ANY(%(subscriptions)s) AND c.is_active AND c.next_at IS NOT NULL
      AND c.alarm_id IS NOT NULL AND a.observed_at IS NULL
    GROUP BY c.alarm_id
    UNION ALL
    SELECT a.id, NULL FROM alarms a
    WHERE a.error IS NULL AND NOT EXISTS (SELECT FROM ({_WANTED}) AS w WHERE w.id = a.id)
    ORDER BY id"""


_UNREADABLE: Final = "this version cannot read the timing"


class PostgresScheduleRegister:
    """Implements the ScheduleRegister port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def schedules(self, selection: Selection) -> list[ListedSchedule]:
        """Return the schedules, by subscription and trigger."""
        rows = await self._database.fetch(
            f"""SELECT c.*, s.name AS subscription, a.error, a.observed_at,
                   {SCHEDULE_STATUS} AS status
               FROM schedules c JOIN subscriptions s ON s.id = c.subscription_id
               LEFT JOIN alarms a ON a.id = c.alarm_id
               WHERE (%(id)s::text IS NULL OR s.id = %(id)s)
               ORDER BY s.name, c.trigger LIMIT %(limit)s""",
            id=selection.subscription_id,
            limit=selection.limit,
        )
        return [
            ListedSchedule(
                _wanted_schedule(row),
                row["subscription"],
                row["status"],
                row["error"] if row["is_active"] else None,
                row["observed_at"] if row["is_active"] else None,
                row["fired"],
                row["alarm_id"] if row["is_active"] and row["next_at"] is not None else None,
            )
            for row in rows
        ]

    async def next_times(self, subscription_ids: Sequence[str]) -> dict[str, datetime]:
        """Return the next nominal time of each of these active subscriptions, by its id."""
        rows = await self._database.fetch(
            """SELECT c.subscription_id AS id, min(c.next_at) AS next_at FROM schedules c
               WHERE c.subscription_id = ANY(%(ids)s) AND c.is_active AND c.next_at IS NOT NULL
               GROUP BY c.subscription_id""",
            ids=list(subscription_ids),
        )
        return {row["id"]: row["next_at"] for row in rows}

    async def unsynced(self, limit: int) -> list[UnsyncedAlarm]:
        """Return alarms that Temporal lacks, then those that it must delete.

        Those that failed come last, in any order, so that they keep no others waiting.
        """
        rows = await self._database.fetch(_SELECT_UNSYNCED, limit=limit)
        found = []
        for row in rows:
            try:
                alarm = None if row["is_unwanted"] else _alarm(row)
            except (ValueError, KeyError):  # such as a time zone that is no longer known
                await self.mark_failed(UnsyncedAlarm(AlarmId(row["id"]), None), _UNREADABLE)
            else:
                found.append(UnsyncedAlarm(AlarmId(row["id"]), alarm))
        return found

    async def announce(self, alarm_ids: Sequence[str]) -> None:
        """Record that these alarms are about to be created."""
        await self._database.fetch(
            """INSERT INTO alarms (id) SELECT unnest(%(ids)s::text[]) ON CONFLICT DO NOTHING""",
            ids=sorted(alarm_ids),
        )

    async def forsake(self, alarm_ids: Sequence[str]) -> set[str]:
        """Return those that no schedule wants; who wants one from now on waits for a new one."""
        rows = await self._database.fetch(
            f"""UPDATE alarms a SET observed_at = NULL
               WHERE a.id = ANY(%(ids)s)
                 AND NOT EXISTS (SELECT FROM ({_WANTED}) AS w WHERE w.id = a.id)
               RETURNING a.id""",
            ids=list(alarm_ids),
        )
        return {row["id"] for row in rows}

    async def mark_synced(self, alarms: Sequence[UnsyncedAlarm], now: datetime) -> None:
        """Record that Temporal has these alarms; delete the rows of those that it deleted."""
        if held := sorted(each.id for each in alarms if each.wanted is not None):
            await self._database.fetch(
                """INSERT INTO alarms (id, observed_at)
                   SELECT id, %(now)s FROM unnest(%(ids)s::text[]) AS x(id)
                   ON CONFLICT (id) DO UPDATE SET observed_at = excluded.observed_at,
                       error = NULL, wakes = 0""",
                ids=held,
                now=now,
            )
        if gone := [each.id for each in alarms if each.wanted is None]:
            await self._database.fetch("DELETE FROM alarms WHERE id = ANY(%(ids)s)", ids=gone)

    async def mark_failed(self, alarm: UnsyncedAlarm, error: str) -> None:
        """Record why the alarm could not be created, updated or deleted in Temporal."""
        await self._database.fetch(
            """INSERT INTO alarms (id, error) VALUES (%(id)s, %(error)s)
               ON CONFLICT (id) DO UPDATE SET error = excluded.error""",
            id=alarm.id,
            error=to_storable_text(error),
        )

    async def unsynced_errors(self, subscriptions: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return (alarm id, last error) of the unsynced alarms of these subscriptions.

        And of those that nobody wants any more, unless their deletion has failed; none of these
        if no subscriptions are given.
        """
        if not subscriptions:
            return []
        rows = await self._database.fetch(_SELECT_UNSYNCED_OF, subscriptions=list(subscriptions))
        return [(row["id"], row["error"]) for row in rows]

    async def stored(self, ids: Sequence[str]) -> Mapping[str, StoredAlarm]:
        """Return what is recorded about these schedules of Temporal, by id.

        Absent are alarms that we did not create and nobody wants, and schedules of single
        triggers, as they were once, of unknown subscriptions.
        """
        rows = await self._database.fetch(
            f"""SELECT asked.id, a.id IS NOT NULL AS is_known, a.observed_at, timing.*
               FROM unnest(%(ids)s::text[]) AS asked(id)
               LEFT JOIN alarms a ON a.id = asked.id {_TIMING.format(id="asked.id")}
               WHERE a.id IS NOT NULL OR timing.kind IS NOT NULL
                 OR asked.id LIKE 'schedule/%%' AND split_part(asked.id, '/', 2) IN (
                   SELECT id FROM subscriptions)""",
            ids=list(ids),
        )
        return {row["id"]: _stored_alarm(row) for row in rows}

    async def serves(self, alarm_id: str, limit: int) -> list[tuple[SubscriptionId, str]]:
        """Return the subscriptions and triggers of active schedules of the alarm, in order."""
        rows = await self._database.fetch(
            """SELECT subscription_id, trigger FROM schedules
               WHERE alarm_id = %(id)s AND is_active AND next_at IS NOT NULL
               ORDER BY id LIMIT %(limit)s""",
            id=alarm_id,
            limit=limit,
        )
        return [(SubscriptionId(row["subscription_id"]), row["trigger"]) for row in rows]

    async def synced_ids(self, *, after: str, limit: int) -> list[AlarmId]:
        """Return the ids, in order, of alarms that Temporal was seen to have as wanted."""
        rows = await self._database.fetch(
            f"""SELECT a.id FROM alarms a
               WHERE a.id > %(after)s AND a.observed_at IS NOT NULL
                 AND EXISTS (SELECT FROM ({_WANTED}) AS w WHERE w.id = a.id)
               ORDER BY a.id LIMIT %(limit)s""",
            after=after,
            limit=limit,
        )
        return [AlarmId(row["id"]) for row in rows]

    async def silent(self) -> list[StoredAlarm]:
        """Return alarms that Temporal seems to have but that have stopped waking us.

        Around a clock change Temporal leaves out times; such an alarm is not silent.
        """
        rows = await self._database.fetch(
            f"""SELECT a.id, true AS is_known, a.observed_at, timing.*, clock_timestamp() AS now
               FROM alarms a {_TIMING.format(id="a.id")}
               WHERE a.wakes >= %(wakes)s AND a.observed_at IS NOT NULL AND timing.kind IS NOT NULL
               ORDER BY a.id""",
            wakes=SILENT_AFTER,
        )
        found = [(_stored_alarm(row), row["now"]) for row in rows]
        return [
            alarm for alarm, now in found if alarm.wanted and has_no_clock_change(alarm.wanted, now)
        ]

    async def mark_restarted(self, alarm_id: str, now: datetime) -> None:
        """Record that a silent alarm was created again."""
        await self._database.fetch(
            """UPDATE alarms SET wakes = 0, restarts = restarts + 1, restarted_at = %(now)s
               WHERE id = %(id)s""",
            id=alarm_id,
            now=now,
        )

    @asynccontextmanager
    async def drift_lock(self) -> AsyncIterator[bool]:
        """Hold the lock of the drift detector; yield False when it is taken."""
        async with self._try_lock(Lock.DRIFT) as is_held:
            yield is_held

    @asynccontextmanager
    async def reconcile_lock(self) -> AsyncIterator[bool]:
        """Hold the lock of the reconciler; yield False when it is taken."""
        async with self._try_lock(Lock.RECONCILER) as is_held:
            yield is_held

    @asynccontextmanager
    async def _try_lock(self, lock: Lock) -> AsyncIterator[bool]:
        async with self._database.held_transaction(is_long=True) as connection:
            yield await try_lock(connection, lock)


def _wanted_schedule(row: dict[str, Any]) -> WantedSchedule:
    return WantedSchedule(
        ScheduleId(row["id"]),
        SubscriptionId(row["subscription_id"]),
        row["trigger"],
        row["kind"],
        row["body"],
    )


def _alarm(row: dict[str, Any]) -> Alarm | None:
    return None if row["kind"] is None else stored_alarm(row["kind"], row["body"])


def _stored_alarm(row: dict[str, Any]) -> StoredAlarm:
    wanted = _alarm(row)
    # The row of an alarm that nobody wants stays until Temporal has deleted it.
    is_synced = not row["is_known"] if wanted is None else row["observed_at"] is not None
    return StoredAlarm(AlarmId(row["id"]), wanted, is_synced)
