"""The ledger of spends, in memory."""

from collections.abc import Callable, Collection
from datetime import datetime

from activityctl.domain.chain.policy import Refusal, SpendWindow
from activityctl.ports import OTHER_SPEND, Spend, SpentSums


class MemorySpendLedger:
    """Implements the SpendLedger port."""

    def __init__(self) -> None:
        self._spends: dict[str, Spend] = {}

    async def spent(
        self,
        subscription_id: str,
        windows: Collection[SpendWindow],
        now: datetime,
        *,
        without: str = "",
    ) -> SpentSums:
        """Return the sums of the windows that end now; `without` names a request left out."""
        return {
            window: sum(
                spend.amounts.get(window.asset, 0)
                for spend in self._spends.values()
                if spend.subscription_id == subscription_id
                and spend.request_id != without
                and spend.at > now - window.length
            )
            for window in windows
        }

    async def reserve(
        self,
        spend: Spend,
        windows: Collection[SpendWindow],
        judge: Callable[[SpentSums], Refusal | None],
    ) -> Refusal | None:
        """Judge, and keep the spend if it is allowed, while nobody else can do either."""
        sums = await self.spent(spend.subscription_id, windows, spend.at, without=spend.request_id)
        known = self._spends.get(spend.request_id)
        if known is not None and known.amounts != spend.amounts:
            return OTHER_SPEND
        refusal = judge(sums)
        if refusal is None:
            self._spends.setdefault(spend.request_id, spend)
        return refusal
