"""A worker without work asks Postgres seldom: a loop that calls for itself at once would spin."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from activityctl.daemon.worker.loop_guard import LoopGuard
from activityctl.settings import Settings
from support.worker import working

SECONDS = 4
OFTENEST = 2 * SECONDS
"""The beat comes each second or so; every other loop of an idle worker is slower."""


@pytest.mark.slow
async def test_no_loop_of_an_idle_worker_spins(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    calls: Counter[str] = Counter()
    attempt = LoopGuard.attempt

    async def counted(self: LoopGuard, name: str, *rest: Any, **options: Any) -> Any:
        calls[name] += 1
        return await attempt(self, name, *rest, **options)

    monkeypatch.setattr(LoopGuard, "attempt", counted)
    async with working(settings):
        await asyncio.sleep(1)  # the first call of each
        calls.clear()
        await asyncio.sleep(SECONDS)
        often = {name: count for name, count in calls.items() if count > OFTENEST}
    assert calls
    assert often == {}
