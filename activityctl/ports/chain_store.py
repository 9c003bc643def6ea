"""Ports for what is known of EVM chains: which triggers watch them, and how far they are read."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from activityctl.domain.chain.reading import Reading, ReadingChanges, TriggerKey, Watch
from activityctl.domain.chain.trigger import ChainTrigger
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports.chain import NodeState

KnownBlock = tuple[int, str]
"""The number and the hash of a block that was read."""


@frozen_dataclass
class ChainFilter:
    """A trigger of a chain, and where it has begun; None until a node has told the height."""

    subscription_id: str
    name: str
    trigger: ChainTrigger
    watch: Watch | None


@frozen_dataclass
class ChainState:
    """What is known of all chains at one moment."""

    wanted: dict[TriggerKey, ChainTrigger]
    """The chain triggers of subscriptions that are not deleted."""
    watches: dict[TriggerKey, Watch]
    readings: tuple[Reading, ...]
    heads: dict[int, int]
    """The last known height of each chain."""

    def filters_of(self, chain_id: int) -> tuple[ChainFilter, ...]:
        """Return the triggers of a chain."""
        return tuple(
            ChainFilter(*key, trigger, self.watches.get(key))
            for key, trigger in self.wanted.items()
            if trigger.chain_id == chain_id
        )

    def readings_of(self, chain_id: int) -> tuple[Reading, ...]:
        """Return the readings of a chain."""
        return tuple(reading for reading in self.readings if reading.chain_id == chain_id)


@frozen_dataclass
class ChainSummary:
    """How far one chain is read, for `status`."""

    chain_id: int
    triggers: int
    head: int | None
    checked_at: datetime | None
    """When a node last told the height."""
    error: str | None
    failing_since: datetime | None
    readings: tuple[Reading, ...]
    nodes: tuple[NodeState, ...] = ()
    """The nodes that the watching worker asks."""
    filters: tuple[ChainFilter, ...] = ()


class ChainStore(Protocol):
    """The readings of chains, and the events of their logs."""

    def watching(self) -> AbstractAsyncContextManager[bool]:
        """Hold the lock of the one worker that watches; False if another holds it."""
        ...

    async def state(self) -> ChainState:
        """Return everything that is known, read at one moment."""
        ...

    async def change(self, changes: ReadingChanges) -> None:
        """Write new watches and readings, and end others, in one transaction."""
        ...

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
        ...

    async def blocks(self, reading: str) -> list[KnownBlock]:
        """Return the blocks that are remembered of a reading, newest first."""
        ...

    async def rewind(self, before: Reading, after: Reading, gone: Sequence[str]) -> int:
        """Move the reading back, and store that the logs of these blocks are gone.

        Each of their events leads to a second one, and the log of each subscription that an
        event had started says so. Return how many events that are.
        """
        ...

    async def note(
        self, chain_id: int, head: int | None, error: str | None, nodes: Sequence[NodeState] = ()
    ) -> None:
        """Remember the height of a chain, or why it is not known, and which nodes are asked."""
        ...

    async def summary(self) -> list[ChainSummary]:
        """Return how far each chain with triggers is read."""
        ...
