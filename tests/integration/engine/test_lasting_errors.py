"""Errors that will not go away: they end as rows with a reason, and others are not delayed."""

import secrets
from datetime import UTC, datetime

import pytest

from activityctl.domain.runs.run import RunStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from support.engine import NAME, Engine, shell

pytestmark = pytest.mark.usefixtures("worker")
OWNER = ids.subscription_id(NAME)


async def store(engine: Engine, keys: list[str]) -> list[ids.RunId]:
    """Store firings as a version stored them that did not limit keys."""
    now = datetime.now(UTC)
    firings = [FiringRequest(OWNER, "manual", f"manual/{key}", now) for key in keys]
    await engine.ports.outbox.add(firings, now)
    return [firing.ref.run_id for firing in firings]


@pytest.mark.parametrize(("count", "size"), [(1, 1_200), (6, 4_000), (130, 4_000)])
async def test_stored_firings_with_keys_that_are_too_long_fail_and_others_run(
    engine: Engine, count: int, size: int
):
    await engine.apply({"tasks": [shell("true")]})
    long = await store(engine, [secrets.token_hex(size // 2) for _ in range(count)])
    assert (await engine.ended(await engine.fire(), seconds=30)).status is RunStatus.SUCCEEDED
    for run_id in long:
        run = await engine.ended(run_id, seconds=40)
        assert run.status is RunStatus.FAILED
        assert run.reason is not None
        assert len(run.firing_key.encode()) <= ids.MAX_KEY_BYTES
    texts = [entry.message for entry in await engine.log(long[0])]
    assert any(text.startswith("run failed: ") for text in texts)
    assert await engine.ports.outbox.waiting() == 0
    assert len(await engine.dead_letters()) == min(count, 100)
