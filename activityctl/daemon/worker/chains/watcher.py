"""The watcher: keeps the readings of all chains up to date, on one worker at a time."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from activityctl.daemon.worker.chains.calls import read_height
from activityctl.daemon.worker.chains.reader import ChainReader, ReorganisedError
from activityctl.domain.chain.reading import (
    Reading,
    ReadingTriggers,
    plan_readings,
)
from activityctl.errors import ActivityctlError
from activityctl.ports import Chains, ChainState, ChainStore

_LOG = logging.getLogger(__name__)
POLL_SECONDS: Final = 2.0
"""How often the height of a chain is asked for."""
_TURN_SECONDS: Final = 20.0
"""After so many seconds, other chains and new triggers get their turn."""
_COMPARE_EVERY: Final = 30.0
"""Seconds between two comparisons of the heights of all nodes."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


class ChainWatcher:
    """Stores the events of logs. A chain that fails does not hold up the others."""

    def __init__(
        self, store: ChainStore, chains: Chains, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._chains = chains
        self._clock = clock
        self._readers: dict[int, ChainReader] = {}
        self._failures: dict[int, int] = {}
        self._rests_until: dict[int, float] = {}
        self._compares_at: dict[int, float] = {}

    async def watch(self) -> float | None:
        """Read on with every chain; return the seconds until the next call, or None.

        None means that no trigger watches a chain, or that another worker does it.
        """
        state = await self._store.state()
        if not state.wanted and not state.watches and not state.readings:
            return None
        async with self._store.watching() as is_ours:
            if not is_ours:
                return None
            chains = {trigger.chain_id for trigger in state.wanted.values()}
            ready = [each for each in chains if self._rests_until.get(each, 0) <= self._clock()]
            heads = dict(await asyncio.gather(*(self._height(each, state) for each in ready)))
            known = {chain_id: head for chain_id, head in heads.items() if head is not None}
            state = await self._brought_up_to_date(state.heads | known)
            turns = [self._turn(each, state, known[each]) for each in known]
            more = any(await asyncio.gather(*turns))
        return 0.0 if more else POLL_SECONDS

    async def _height(self, chain_id: int, state: ChainState) -> tuple[int, int | None]:
        """Return the height of the chain; None, and remember why, if no node tells it."""
        try:
            nodes = await self._chains.nodes(chain_id)
            if (reader := self._readers.get(chain_id)) is None or reader.nodes is not nodes:
                self._readers[chain_id] = ChainReader(nodes)
            head = await nodes.use(read_height)
            if head < state.heads.get(chain_id, 0) or self._is_time_to_compare(chain_id):
                head = max([head, *await nodes.each(read_height)])  # it may lag behind others
        except ActivityctlError as error:
            await self._failed(chain_id, error)
            return chain_id, None
        await self._store.note(chain_id, head, None, nodes.states())
        self._failures.pop(chain_id, None)
        return chain_id, head

    def _is_time_to_compare(self, chain_id: int) -> bool:
        """Whether to ask every node for its height: a node that lags behind does not say so."""
        now = self._clock()
        if now < self._compares_at.get(chain_id, 0.0):
            return False
        self._compares_at[chain_id] = now + _COMPARE_EVERY
        return True

    async def _failed(self, chain_id: int, error: ActivityctlError) -> None:
        failures = self._failures.get(chain_id, 0)
        if not failures:
            _LOG.warning("chain cannot be read: %s", error, extra={"chain": chain_id})
        self._failures[chain_id] = failures + 1
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(failures, 10))
        self._rests_until[chain_id] = self._clock() + pause
        reader = self._readers.get(chain_id)
        nodes = () if reader is None else reader.nodes.states()
        await self._store.note(chain_id, None, error.message, nodes)

    async def _brought_up_to_date(self, heads: Mapping[int, int]) -> ChainState:
        """Begin and end readings as the triggers want; return the state afterwards.

        A trigger of a chain whose nodes do not answer begins after the last known height, so that
        it misses no block because of them.
        """
        state = await self._store.state()
        changes = plan_readings(state.wanted, state.watches.values(), state.readings, heads)
        if not changes:
            return state
        await self._store.change(changes)
        counts = {"begun": len(changes.watches), "ended": len(changes.ended_watches)}
        _LOG.info("chain triggers changed", extra=counts)
        return await self._store.state()

    async def _turn(self, chain_id: int, state: ChainState, head: int) -> bool:
        """Read on with the chain for some seconds; return whether there is more to read."""
        until = self._clock() + _TURN_SECONDS
        more = False
        try:
            for reading in state.readings:
                if reading.chain_id == chain_id:
                    more |= await self._read_on(reading, state, head, until)
        except ActivityctlError as error:
            await self._failed(chain_id, error)
        return more

    async def _read_on(self, reading: Reading, state: ChainState, head: int, until: float) -> bool:
        reader = self._readers[reading.chain_id]
        served = await asyncio.to_thread(_serve, reading, state)
        while self._clock() < until:
            try:
                step = await reader.step(served, head)
            except ReorganisedError as error:
                await self._rewind(reader, served.reading, str(error))
                return True
            if step is None:
                return False
            if not await self._store.advance(served.reading, step.after, step.blocks, step.events):
                return False  # another worker was faster
            served.reading = step.after
        return served.reading.number < served.reading.target(head)

    async def _rewind(self, reader: ChainReader, reading: Reading, reason: str) -> None:
        """Go back to the newest block that is still in the chain; its later logs are gone."""
        known = await self._store.blocks(reading.id)
        found = await reader.ancestor(known)
        if found is None:
            number = min([block for block, _ in known], default=reading.number) - 1
            after = replace(reading, number=max(number, 0), hash=None)
        else:
            after = replace(reading, number=found[0], hash=found[1])
        gone = [block_hash for number, block_hash in known if number > after.number]
        removed = await self._store.rewind(reading, after, gone)
        where = {"chain": reading.chain_id, "reading": reading.id, "block": after.number}
        _LOG.warning(
            "chain was reorganised: %s; logs that are gone: %d", reason, removed, extra=where
        )


def _serve(reading: Reading, state: ChainState) -> ReadingTriggers:
    return ReadingTriggers(reading, state.wanted, state.watches)
