"""The Outbox port: decided firings that start later are listed until they start."""

from datetime import UTC, datetime, timedelta
from typing import Any

from activityctl.domain.timing.firing import FiringRequest
from activityctl.ports import WaitingFiring

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
OPENS = NOON + 3.5 * HOUR
HOURLY = {"every": "1h", "window": {"from": "15:30", "to": "16:00"}}


async def test_firings_that_wait_for_their_window_are_listed_by_nominal_time(
    ledger: Any,
) -> None:
    await ledger.apply(body=HOURLY)
    outbox = ledger.ports.outbox
    for hours in (1, 2):
        await ledger.at(NOON + hours * HOUR)
        await ledger.process_alarm(ledger.now)
    # A firing that a person requested has no nominal time.
    await ledger.at(OPENS + HOUR)
    asked = FiringRequest(ledger.owner, "often", "by-hand", ledger.now)
    await outbox.add([asked], ledger.now)
    expected = [WaitingFiring("often", NOON + hours * HOUR, OPENS) for hours in (1, 2)]
    await ledger.at(OPENS - SECOND)
    assert await outbox.waiting_of(ledger.owner, 10) == expected
    assert await outbox.waiting_of(ledger.owner, 1) == expected[:1]
    assert await outbox.waiting_of("another", 10) == []
    await ledger.at(OPENS)
    assert await outbox.waiting_of(ledger.owner, 10) == []


async def test_a_firing_that_has_started_does_not_wait(ledger: Any) -> None:
    await ledger.apply(body=HOURLY)
    await ledger.at(NOON + HOUR)
    await ledger.process_alarm(ledger.now)
    await ledger.at(OPENS)
    assert await ledger.dispatch() == [NOON + HOUR]
    await ledger.at(OPENS - SECOND)
    assert await ledger.ports.outbox.waiting_of(ledger.owner, 10) == []
