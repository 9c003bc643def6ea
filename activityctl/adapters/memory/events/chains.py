"""The readings of EVM chains, in memory; the events of their logs go with them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from activityctl.adapters.memory.events.events import MemoryEventStore
from activityctl.adapters.memory.state import MemoryState, spec_of
from activityctl.domain.chain.log_event import log_removed_entry, removed_event
from activityctl.domain.chain.reading import Reading, ReadingChanges, TriggerKey
from activityctl.domain.chain.trigger import FEED, LOG_TYPE, ChainTrigger
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.routing.listeners import chain_triggers
from activityctl.domain.values import ids
from activityctl.ports import ChainState, ChainSummary, KnownBlock, NodeState

_REMEMBERED = 512


class MemoryChainStore:
    """Implements the ChainStore port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._blocks: dict[str, dict[int, str]] = {}
        self._notes: dict[int, ChainSummary] = {}

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[bool]:
        """Hold the lock of the one worker that watches; False if another holds it."""
        lock = self._state.chains_lock
        if lock.locked():
            yield False
            return
        async with lock:
            yield True

    async def state(self) -> ChainState:
        """Return everything that is known, read at one moment."""
        heads = {key: note.head for key, note in self._notes.items() if note.head is not None}
        readings = self._state.chain_readings
        return ChainState(
            self._wanted(),
            dict(self._state.chain_watches),
            tuple(readings[key] for key in sorted(readings)),
            heads,
        )

    async def change(self, changes: ReadingChanges) -> None:
        """Write new watches and readings, and end others."""
        readings, watches = self._state.chain_readings, self._state.chain_watches
        for reading_id in changes.ended_readings:
            readings.pop(reading_id, None)
            self._blocks.pop(reading_id, None)
        for reading in changes.readings:
            readings.setdefault(reading.id, reading)
        for watch in changes.watches:
            watches[watch.key] = watch
        for key in changes.ended_watches:
            watches.pop(key, None)
        self._state.chain_changes += len(changes.watches) + len(changes.ended_watches)

    async def advance(
        self,
        before: Reading,
        after: Reading,
        blocks: Sequence[KnownBlock],
        events: Sequence[EventEnvelope],
    ) -> bool:
        """Store the events and move the reading on, and wake the router.

        Return False, and write nothing, if the reading is not where it was.
        """
        if not self._move(before, after):
            return False
        known = self._blocks.setdefault(after.id, {})
        known.update(blocks)
        for number in [number for number in known if number < after.number - _REMEMBERED]:
            del known[number]
        await self._add(events)
        return True

    async def blocks(self, reading: str) -> list[KnownBlock]:
        """Return the blocks that are remembered of a reading, newest first."""
        return sorted(self._blocks.get(reading, {}).items(), reverse=True)

    async def rewind(self, before: Reading, after: Reading, gone: Sequence[str]) -> int:
        """Move the reading back, and store that the logs of these blocks are gone."""
        if not self._move(before, after):
            return 0
        known = self._blocks.get(after.id, {})
        self._blocks[after.id] = {n: text for n, text in known.items() if n <= after.number}
        rows = [row.event for row in self._state.events.values()]
        lost = {
            event.id: event.document
            for event in sorted(rows, key=lambda event: -event.position)
            if event.document["type"] == LOG_TYPE
            and event.document["id"].split("/")[0] in gone
            and event.document[FEED].split(" ")[0] == after.id
        }
        await self._add([removed_event(document) for document in lost.values()])
        now = self._state.clock()
        self._state.write_log_entries(
            [
                log_removed_entry(
                    verdict.subscription_id,
                    ids.run_id(verdict.subscription_id, verdict.trigger, verdict.firing_key),
                    verdict.trigger,
                    verdict.event_id,
                    lost[verdict.event_id],
                    now,
                )
                for verdict in self._state.verdicts.values()
                if verdict.event_id in lost and verdict.firing_key is not None
            ]
        )
        return len(lost)

    async def note(
        self, chain_id: int, head: int | None, error: str | None, nodes: Sequence[NodeState] = ()
    ) -> None:
        """Remember the height of a chain, or why it is not known, and which nodes are asked."""
        now = self._state.clock()
        known = self._notes.get(chain_id, ChainSummary(chain_id, 0, None, None, None, None, ()))
        self._notes[chain_id] = replace(
            known,
            head=known.head if head is None else head,
            checked_at=now if error is None else known.checked_at,
            error=error,
            failing_since=None if error is None else known.failing_since or now,
            nodes=tuple(nodes),
        )

    async def summary(self) -> list[ChainSummary]:
        """Return how far each chain with triggers is read."""
        state = await self.state()
        chains = sorted({trigger.chain_id for trigger in state.wanted.values()})
        empty = ChainSummary(0, 0, None, None, None, None, ())
        return [
            replace(
                self._notes.get(chain_id, empty),
                chain_id=chain_id,
                triggers=len(state.filters_of(chain_id)),
                readings=state.readings_of(chain_id),
                filters=state.filters_of(chain_id),
            )
            for chain_id in chains
        ]

    def _wanted(self) -> dict[TriggerKey, ChainTrigger]:
        catalog = self._state.catalog
        found: dict[TriggerKey, ChainTrigger] = {}
        for owner in sorted(catalog.subscriptions.values(), key=lambda owner: owner.name):
            if owner.status is not SubscriptionStatus.DELETED:
                revision = catalog.revisions[catalog.definitions[owner.definition].revision_id]
                found |= chain_triggers(owner.id, spec_of(revision), owner.triggers)
        return found

    def _move(self, before: Reading, after: Reading) -> bool:
        present = self._state.chain_readings.get(after.id)
        if present is None or (present.number, present.hash) != (before.number, before.hash):
            return False
        self._state.chain_readings[after.id] = replace(
            present, number=after.number, hash=after.hash
        )
        return True

    async def _add(self, events: Sequence[EventEnvelope]) -> None:
        await MemoryEventStore(self._state).add(events)
