"""The queue releaser starts what was let in; others may use the time that a start takes."""

from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Any

from activityctl.adapters.memory.temporal import MemoryRunStarter
from activityctl.daemon.worker.queue_releaser import QueueReleaser
from activityctl.domain.timing.firing import FiringRef, FiringRequest
from activityctl.domain.values import ids
from activityctl.steps.give_up import GiveUp
from activityctl.steps.record import RecordStep
from support.definitions import ports_with

NOW = datetime(2026, 5, 1, tzinfo=UTC)
FIRING = FiringRequest(ids.subscription_id("mine"), "manual", "manual/key", NOW).ref


class Once:
    """Gates that let one run in, once."""

    def __init__(self) -> None:
        self._rest = [FIRING]

    async def let_in(self, _: int) -> list[FiringRef]:
        found, self._rest = self._rest, []
        return found

    async def seconds_to_release(self) -> None:
        """None: no throttle opens."""


async def test_what_is_done_meanwhile_knows_the_firing_of_each_start() -> None:
    ports, starter = await ports_with("mine", NOW), MemoryRunStarter()
    gates: Any = Once()
    give_up = GiveUp(ports.runs, RecordStep(ports.runs, lambda: NOW), lambda: NOW)
    releaser = QueueReleaser(gates, ports.backfills, starter, give_up)
    known: list[FiringRef] = []

    async def starting(firings: Sequence[FiringRef], start: Awaitable[None]) -> None:
        known.extend(firings)
        await start

    releaser.starting = starting
    await releaser.release()
    await releaser.release()
    assert starter.started == known == [FIRING]
