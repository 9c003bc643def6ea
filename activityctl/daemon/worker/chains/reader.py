"""Reads the next blocks of a reading: one by one near the end of the chain, else in ranges."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from activityctl.daemon.worker.chains.calls import (
    header_at,
    logs_between,
    logs_of_block,
    needed_header,
    read_height,
)
from activityctl.domain.chain.block_range import FIRST_SIZE, next_size, smaller_size
from activityctl.domain.chain.chain_log import BlockHeader, ChainLog
from activityctl.domain.chain.node_answer import AnswerFault
from activityctl.domain.chain.reading import Reading, ReadingTriggers
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import CallRefusedError, ChainNode, ChainNodes, KnownBlock, NodeFaultError

ONE_BY_ONE: Final = 16
"""So many blocks are read one by one, each by its hash; a range reads what is before them."""


class ReorganisedError(Exception):
    """The last block that was read is no longer in the chain, as every node says."""


@frozen_dataclass
class Step:
    """Blocks that were read: where the reading is now, and the events of their logs."""

    after: Reading
    blocks: tuple[KnownBlock, ...]
    events: tuple[EventEnvelope, ...]


class ChainReader:
    """Reads the logs of one chain; it remembers how large a range its nodes take."""

    def __init__(self, nodes: ChainNodes) -> None:
        self.nodes = nodes
        self._size = FIRST_SIZE

    async def step(self, served: ReadingTriggers, head: int) -> Step | None:
        """Return the next blocks of the reading; None if there are none yet.

        Raises ReorganisedError, and UnreachableError if no node can be used.
        """
        reading = served.reading
        target = reading.target(head)
        if reading.number >= target:
            return None
        if served.count == 0:
            return Step(replace(reading, number=target, hash=None), (), ())
        is_near = target - reading.number <= ONE_BY_ONE

        async def work(node: ChainNode) -> Step:
            if is_near:
                return await self._one_by_one(node, served, target)
            return await self._range(node, served, target - ONE_BY_ONE // 2)

        return await self.nodes.use(work)

    async def _one_by_one(self, node: ChainNode, served: ReadingTriggers, target: int) -> Step:
        """Read up to the target; after a fault of the node, what was read before it."""
        reading = served.reading
        blocks: list[KnownBlock] = []
        events: list[EventEnvelope] = []
        for number in range(reading.number + 1, target + 1):
            try:
                header = await needed_header(node, number)
                if blocks and header.parent != blocks[-1][1]:
                    break  # the chain changed meanwhile; the next step finds out
                if not blocks:
                    await self._check_parent(reading, header)
                for log in await logs_of_block(node, served.query, header):
                    events += served.events(log, header.time)
            except NodeFaultError:
                if not blocks:
                    raise
                break
            blocks.append((number, header.hash))
        number, block_hash = blocks[-1]
        after = replace(reading, number=number, hash=block_hash)
        return Step(after, tuple(blocks), tuple(events))

    async def _range(self, node: ChainNode, served: ReadingTriggers, target: int) -> Step:
        reading = served.reading
        first = reading.number + 1
        await self._check_parent(reading, await needed_header(node, first))
        while True:
            last = await self._last_of_range(node, first, target)
            try:
                logs = await logs_between(node, served.query, first, last)
            except CallRefusedError as error:
                if error.fault is not AnswerFault.TOO_WIDE or last.number == first:
                    raise NodeFaultError(f"eth_getLogs: {error}") from None
                asked = last.number - first + 1
                self._size = smaller_size(asked, first, error.message)
            else:
                break
        if last.number - first + 1 >= self._size:
            self._size = next_size(self._size, len(logs))
        wanted = [log for log in logs if served.wants(log)]
        blocks = {log.block_number: log.block_hash for log in wanted} | {last.number: last.hash}
        events = await self._events(node, served, wanted)
        after = replace(reading, number=last.number, hash=last.hash)
        return Step(after, tuple(sorted(blocks.items())), tuple(events))

    async def _last_of_range(self, node: ChainNode, first: int, target: int) -> BlockHeader:
        """Return the last block to ask for; an earlier one if the node lags behind."""
        wanted = min(first + self._size - 1, target)
        found = await header_at(node, wanted)
        return found or await needed_header(node, max(first, min(wanted, await read_height(node))))

    async def _events(
        self, node: ChainNode, served: ReadingTriggers, logs: Sequence[ChainLog]
    ) -> list[EventEnvelope]:
        times: dict[int, int] = {}
        found: list[EventEnvelope] = []
        for log in logs:
            number = log.block_number
            if log.block_time is not None:
                times[number] = log.block_time
            elif number not in times:
                times[number] = (await needed_header(node, number)).time
            found += served.events(log, times[number])
        return found

    async def _check_parent(self, reading: Reading, header: BlockHeader) -> None:
        """Raise ReorganisedError if the block does not follow the last one that was read.

        If another node still has that block, this one is on a branch of its own.
        """
        if reading.hash is None or header.parent == reading.hash:
            return
        number = reading.number
        others = await self.nodes.each(lambda other: header_at(other, number))
        if any(other is not None and other.hash == reading.hash for other in others):
            raise NodeFaultError(
                f"is on another branch of the chain than the other nodes, from block {number} on"
            )
        raise ReorganisedError(f"block {number} was replaced")

    async def ancestor(self, known: Sequence[KnownBlock]) -> KnownBlock | None:
        """Return the newest of these blocks, newest first, that is still in the chain."""

        async def work(node: ChainNode) -> KnownBlock | None:
            for number, block_hash in known:
                header = await header_at(node, number)
                if header is not None and header.hash == block_hash:
                    return number, block_hash
            return None

        return await self.nodes.use(work)
