"""The Outbox port: removal of started firings; a removed firing does not run twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio

from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.ports import OpenResult

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MONTH = timedelta(days=30)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def manual(ledger: Any, key: str) -> FiringRequest:
    return FiringRequest(ledger.owner, "manual", f"manual/{key}", NOON)


async def ask(ledger: Any, *keys: str) -> int:
    added = await ledger.ports.outbox.add([manual(ledger, key) for key in keys], ledger.now)
    await ledger.dispatch()
    return int(added)


async def run(ledger: Any, key: str, *, has_ended: bool = True) -> OpenResult:
    """Open the run of a firing, which ends at once."""
    firing = manual(ledger, key).ref
    facts = await ledger.ports.runs.admission_input(firing)
    assert facts is not None
    opened = new_run(firing, facts, ledger.now)
    if has_ended:
        opened = replace(opened, status=RunStatus.SUCCEEDED, ended_at=ledger.now)
    opening = await ledger.ports.runs.open(firing.workflow_id, RunChange(opened))
    assert isinstance(opening, OpenResult)
    return opening


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def applied(ledger: Any) -> None:
    await ledger.apply()


async def test_the_oldest_firings_are_removed_first_up_to_the_limit(ledger: Any) -> None:
    for hours, key in enumerate("abc"):
        await ledger.at(NOON + hours * HOUR)
        await ask(ledger, key)
        await run(ledger, key)
    remove = ledger.ports.outbox.remove
    await ledger.at(NOON + MONTH)
    assert await remove(MONTH, 10) == 0
    await ledger.at(NOON + HOUR + MONTH + SECOND)
    assert [await remove(MONTH, 1) for _ in range(3)] == [1, 1, 0]
    await ledger.at(NOON + 2 * MONTH)
    assert await remove(MONTH, 10) == 1


async def test_a_firing_stays_until_its_run_ended_long_enough_ago(
    ledger: Any,
) -> None:
    await ask(ledger, "none", "open", "late")
    await run(ledger, "open", has_ended=False)
    await ledger.at(NOON + MONTH)
    await run(ledger, "late")
    await ledger.at(NOON + MONTH + HOUR)
    assert await ledger.ports.outbox.remove(MONTH, 10) == 0
    await ledger.at(NOON + 3 * MONTH)
    assert await ledger.ports.outbox.remove(MONTH, 10) == 1


async def test_a_waiting_firing_is_never_removed(ledger: Any) -> None:
    await ledger.ports.outbox.add([manual(ledger, "k")], ledger.now)
    await run(ledger, "k")
    await ledger.at(NOON + 3 * MONTH)
    assert await ledger.ports.outbox.remove(MONTH, 10) == 0
    assert await ledger.ports.outbox.waiting() == 1


async def test_a_key_runs_once_even_if_its_firing_was_removed(ledger: Any) -> None:
    await ask(ledger, "k")
    await run(ledger, "k")
    assert await ask(ledger, "k") == 0
    await ledger.at(NOON + 2 * MONTH)
    assert await ledger.ports.outbox.remove(MONTH, 10) == 1
    await ask(ledger, "k")
    assert await run(ledger, "k") is OpenResult.TAKEN
    (only,) = await ledger.rows()
    assert only.created_at == NOON
