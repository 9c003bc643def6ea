"""The ledger of spends: sums of windows, once for each request, one after the other."""

import asyncio
from datetime import UTC, datetime, timedelta

from activityctl import wiring
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.policy import NATIVE, Refusal, SpendWindow
from activityctl.domain.manifests.subscription import Subscription
from activityctl.ports import OTHER_SPEND, Spend, SpentSums

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TOKEN = "0x" + 40 * "b"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WINDOWS = [SpendWindow(NATIVE, HOUR), SpendWindow(NATIVE, DAY), SpendWindow(TOKEN, HOUR)]
REFUSED = Refusal(HookError.POLICY_REFUSED, "no")
HUGE = 2**255


def at_most(limit: int):
    return lambda sums: REFUSED if any(amount >= limit for amount in sums.values()) else None


async def test_each_request_counts_once_in_its_windows(ports: wiring.Ports, mine: Subscription):
    ledger = ports.spends
    seen: list[SpentSums] = []

    async def reserve(request: str, amounts: dict[str, int], at: datetime) -> Refusal | None:
        spend = Spend(request, mine.id, amounts, at)
        return await ledger.reserve(spend, WINDOWS, seen.append)

    assert await ledger.spent(mine.id, [], NOW) == {}
    assert await ledger.spent(mine.id, WINDOWS, NOW) == dict.fromkeys(WINDOWS, 0)
    assert await reserve("a", {NATIVE: 3, TOKEN: HUGE}, NOW - timedelta(hours=2)) is None
    assert await reserve("b", {NATIVE: 4}, NOW) is None
    assert await reserve("b", {NATIVE: 4}, NOW + HOUR) is None  # the same again
    assert await reserve("b", {NATIVE: 5}, NOW) is OTHER_SPEND
    assert await reserve("b", {NATIVE: 4, TOKEN: 1}, NOW) is OTHER_SPEND
    assert await ledger.spent(mine.id, WINDOWS, NOW) == dict(zip(WINDOWS, (4, 7, 0), strict=True))
    earlier = NOW - timedelta(hours=1, minutes=1)
    assert (await ledger.spent(mine.id, WINDOWS, earlier))[WINDOWS[2]] == HUGE
    without = await ledger.spent(mine.id, WINDOWS, NOW, without="b")
    assert without == dict(zip(WINDOWS, (0, 3, 0), strict=True))
    assert await ledger.spent("another", WINDOWS, NOW) == dict.fromkeys(WINDOWS, 0)
    # A request is not part of the sums by which it is judged.
    assert [sums[WINDOWS[1]] for sums in seen] == [0, 3, 3]


async def test_twenty_at_once_never_exceed_a_window(ports: wiring.Ports, mine: Subscription):
    ledger = ports.spends
    refusals = await asyncio.gather(
        *(
            ledger.reserve(
                Spend(f"request-{number}", mine.id, {NATIVE: 1}, NOW), WINDOWS, at_most(7)
            )
            for number in range(20)
        )
    )
    assert refusals.count(None) == 7
    assert (await ledger.spent(mine.id, WINDOWS, NOW))[WINDOWS[0]] == 7
