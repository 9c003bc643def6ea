"""The readings of EVM chains in Postgres; the events of their logs go with them."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, Database, to_storable_text
from activityctl.adapters.postgres.events.adding import insert_events
from activityctl.adapters.postgres.locks import Lock, try_lock
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.domain.chain.log_event import log_removed_entry, removed_event
from activityctl.domain.chain.reading import Reading, ReadingChanges, TriggerKey, Watch
from activityctl.domain.chain.trigger import FEED, LOG_TYPE, ChainTrigger
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.routing.listeners import stored_chain_triggers
from activityctl.domain.values import ids
from activityctl.domain.values.log import LogEntry
from activityctl.ports import ChainState, ChainSummary, KnownBlock, NodeState

_REMEMBERED: Final = 512
"""How many blocks back those that were read are remembered."""
_SELECT_WANTED: Final = """
    SELECT s.id, s.triggers, v.spec::text AS spec
    FROM subscriptions s JOIN definitions d ON d.name = s.definition
    JOIN revisions v ON v.id = d.revision_id
    WHERE s.status <> 'deleted' AND (jsonb_path_exists(v.spec, '$.triggers[*].chain')
        OR jsonb_path_exists(s.triggers, '$.*.chain'))
    ORDER BY s.name"""
_UPSERT_WATCHES: Final = """
    INSERT INTO chain_watches AS w (subscription_id, trigger, chain_id, confirmations,
        from_block, after_block, scan)
    SELECT * FROM jsonb_to_recordset(%(rows)s) AS x(subscription text, trigger text, chain bigint,
        confirmations int, first bigint, after bigint, scan text)
    ON CONFLICT (subscription_id, trigger) DO UPDATE SET chain_id = excluded.chain_id,
        confirmations = excluded.confirmations, from_block = excluded.from_block,
        after_block = excluded.after_block, scan = excluded.scan, place = DEFAULT,
        ended_at = NULL"""
_END_WATCHES: Final = """
    UPDATE chain_watches w SET ended_at = now(), place = DEFAULT
    FROM jsonb_to_recordset(%(rows)s) AS x(subscription text, trigger text)
    WHERE w.subscription_id = x.subscription AND w.trigger = x.trigger"""
_INSERT_READINGS: Final = """
    INSERT INTO chain_readings (id, chain_id, confirmations, number, hash, until_block, moved_at)
    SELECT x.id, x.chain, x.confirmations, x.number, x.hash, x.until, now()
    FROM jsonb_to_recordset(%(rows)s) AS x(id text, chain bigint, confirmations int,
        number bigint, hash text, until bigint)
    ON CONFLICT (id) DO NOTHING"""
_MOVE: Final = """
    UPDATE chain_readings SET number = %(number)s, hash = %(hash)s, moved_at = now()
    WHERE id = %(id)s AND number = %(old_number)s AND hash IS NOT DISTINCT FROM %(old_hash)s"""
_REMEMBER: Final = """
    INSERT INTO chain_blocks (reading_id, number, hash)
    SELECT %(id)s, x.number, x.hash FROM unnest(%(numbers)s::bigint[], %(hashes)s::text[])
        AS x(number, hash)
    ON CONFLICT (reading_id, number) DO UPDATE SET hash = excluded.hash"""
_SELECT_GONE: Final = f"""
    SELECT e.id, e.document FROM events e
    WHERE e.type = '{LOG_TYPE}' AND split_part(e.event_id, '/', 1) = ANY(%(hashes)s)
      AND split_part(e.document ->> '{FEED}', ' ', 1) = %(reading)s
    ORDER BY e.place DESC"""
_SELECT_STARTED: Final = """
    SELECT event_id, subscription_id, trigger, firing_key FROM verdicts
    WHERE event_id = ANY(%(ids)s) AND firing_key IS NOT NULL"""
_NOTE: Final = """
    INSERT INTO chains AS c (chain_id, head, checked_at, error, failing_since, nodes)
    VALUES (%(chain)s, %(head)s, CASE WHEN %(error)s::text IS NULL THEN now() END, %(error)s,
        CASE WHEN %(error)s::text IS NULL THEN NULL ELSE now() END, %(nodes)s)
    ON CONFLICT (chain_id) DO UPDATE SET head = coalesce(excluded.head, c.head),
        nodes = excluded.nodes,
        checked_at = coalesce(excluded.checked_at, c.checked_at), error = excluded.error,
        failing_since = CASE WHEN excluded.error IS NULL THEN NULL
            ELSE coalesce(c.failing_since, now()) END"""


class PostgresChainStore:
    """Implements the ChainStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[bool]:
        """Hold the lock of the one worker that watches; False if another holds it."""
        async with self._database.held_transaction() as connection:
            yield await try_lock(connection, Lock.CHAINS)

    async def state(self) -> ChainState:
        """Return everything that is known, read at one moment."""
        async with self._database.one_trip() as connection:
            wanted = await connection.execute(_SELECT_WANTED.encode())
            watches = await connection.execute(
                b"SELECT * FROM chain_watches WHERE ended_at IS NULL"
            )
            readings = await connection.execute(b"SELECT * FROM chain_readings ORDER BY id")
            heads = await connection.execute(
                b"SELECT chain_id, head FROM chains WHERE head IS NOT NULL"
            )
        found = [_watch_of(row) for row in await watches.fetchall()]
        return ChainState(
            _triggers_of(await wanted.fetchall()),
            {watch.key: watch for watch in found},
            tuple(_reading_of(row) for row in await readings.fetchall()),
            {row["chain_id"]: row["head"] for row in await heads.fetchall()},
        )

    async def change(self, changes: ReadingChanges) -> None:
        """Write new watches and readings, and end others, in one transaction."""
        watches = [
            {
                "subscription": watch.subscription_id,
                "trigger": watch.trigger,
                "chain": watch.chain_id,
                "confirmations": watch.confirmations,
                "first": watch.from_block,
                "after": watch.after,
                "scan": watch.scan,
            }
            for watch in changes.watches
        ]
        readings = [
            {
                "id": reading.id,
                "chain": reading.chain_id,
                "confirmations": reading.confirmations,
                "number": reading.number,
                "hash": reading.hash,
                "until": reading.until,
            }
            for reading in changes.readings
        ]
        ended = [
            {"subscription": owner, "trigger": trigger} for owner, trigger in changes.ended_watches
        ]
        async with self._database.transaction() as connection:
            await connection.execute(
                b"DELETE FROM chain_readings WHERE id = ANY(%s)", (list(changes.ended_readings),)
            )
            await connection.execute(_INSERT_READINGS.encode(), {"rows": Jsonb(readings)})
            await connection.execute(_UPSERT_WATCHES.encode(), {"rows": Jsonb(watches)})
            await connection.execute(_END_WATCHES.encode(), {"rows": Jsonb(ended)})

    async def advance(
        self,
        before: Reading,
        after: Reading,
        blocks: Sequence[KnownBlock],
        events: Sequence[EventEnvelope],
    ) -> bool:
        """Store the events and move the reading on, in one transaction, and wake the router.

        Return False, and write nothing, if the reading is not where it was.
        """
        async with self._database.transaction() as connection:
            if not await _move(connection, before, after):
                return False
            values = {
                "id": after.id,
                "numbers": [number for number, _ in blocks],
                "hashes": [block_hash for _, block_hash in blocks],
            }
            await connection.execute(_REMEMBER.encode(), values)
            await connection.execute(
                b"DELETE FROM chain_blocks WHERE reading_id = %s AND number < %s",
                (after.id, after.number - _REMEMBERED),
            )
            await insert_events(connection, events)
            return True

    async def blocks(self, reading: str) -> list[KnownBlock]:
        """Return the blocks that are remembered of a reading, newest first."""
        rows = await self._database.fetch(
            """SELECT number, hash FROM chain_blocks WHERE reading_id = %(id)s
               ORDER BY number DESC""",
            id=reading,
        )
        return [(row["number"], row["hash"]) for row in rows]

    async def rewind(self, before: Reading, after: Reading, gone: Sequence[str]) -> int:
        """Move the reading back, and store that the logs of these blocks are gone."""
        async with self._database.transaction() as connection:
            if not await _move(connection, before, after):
                return 0
            await connection.execute(
                b"DELETE FROM chain_blocks WHERE reading_id = %s AND number > %s",
                (after.id, after.number),
            )
            values = {"hashes": list(gone), "reading": after.id}
            cursor = await connection.execute(_SELECT_GONE.encode(), values)
            rows = await cursor.fetchall()
            await insert_events(connection, [removed_event(row["document"]) for row in rows])
            documents = {row["id"]: row["document"] for row in rows}
            started = await connection.execute(_SELECT_STARTED.encode(), {"ids": list(documents)})
            await insert_log_entries(
                connection,
                [_removed_entry(row, documents) for row in await started.fetchall()],
            )
            return len(rows)

    async def note(
        self, chain_id: int, head: int | None, error: str | None, nodes: Sequence[NodeState] = ()
    ) -> None:
        """Remember the height of a chain, or why it is not known, and which nodes are asked."""
        asked = [{"name": node.name, "fault": to_storable_text(node.fault)} for node in nodes]
        reason = to_storable_text(error)
        await self._database.fetch(
            _NOTE, chain=chain_id, head=head, error=reason, nodes=Jsonb(asked)
        )

    async def summary(self) -> list[ChainSummary]:
        """Return how far each chain with triggers is read."""
        state = await self.state()
        rows = await self._database.fetch("SELECT * FROM chains")
        known = {row["chain_id"]: row for row in rows}
        chains = {trigger.chain_id for trigger in state.wanted.values()}
        return [
            _summary_of(chain_id, state, known.get(chain_id, {})) for chain_id in sorted(chains)
        ]


def _summary_of(chain_id: int, state: ChainState, row: Mapping[str, Any]) -> ChainSummary:
    filters = state.filters_of(chain_id)
    return ChainSummary(
        chain_id,
        len(filters),
        row.get("head"),
        row.get("checked_at"),
        row.get("error"),
        row.get("failing_since"),
        state.readings_of(chain_id),
        tuple(NodeState(node["name"], node["fault"]) for node in row.get("nodes") or ()),
        filters,
    )


async def _move(connection: Connection, before: Reading, after: Reading) -> bool:
    values = {
        "id": after.id,
        "number": after.number,
        "hash": after.hash,
        "old_number": before.number,
        "old_hash": before.hash,
    }
    return (await connection.execute(_MOVE.encode(), values)).rowcount == 1


def _removed_entry(row: Mapping[str, Any], documents: Mapping[str, Any]) -> LogEntry:
    return log_removed_entry(
        row["subscription_id"],
        ids.run_id(row["subscription_id"], row["trigger"], row["firing_key"]),
        row["trigger"],
        row["event_id"],
        documents[row["event_id"]],
        datetime.now(UTC),
    )


def _triggers_of(rows: Iterable[Mapping[str, Any]]) -> dict[TriggerKey, ChainTrigger]:
    found: dict[TriggerKey, ChainTrigger] = {}
    for row in rows:
        found |= stored_chain_triggers(row["id"], row["spec"], row["triggers"])
    return found


def _watch_of(row: Mapping[str, Any]) -> Watch:
    return Watch(
        row["subscription_id"],
        row["trigger"],
        row["chain_id"],
        row["confirmations"],
        row["from_block"],
        row["after_block"],
        row["scan"],
    )


def watches_of(rows: Iterable[Mapping[str, Any]] | None) -> dict[str, Watch]:
    """Return the watches of a subscription by trigger, from rows in JSON."""
    found = [_watch_of(row) for row in rows or ()]
    return {watch.trigger: watch for watch in found}


def _reading_of(row: Mapping[str, Any]) -> Reading:
    return Reading(
        row["id"],
        row["chain_id"],
        row["confirmations"],
        row["number"],
        row["hash"],
        row["until_block"],
    )
