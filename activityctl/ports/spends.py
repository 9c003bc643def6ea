"""The ledger of spends: how much the executions of a subscription have spent of each asset."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final, Protocol

from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.policy import Refusal, SpendWindow
from activityctl.frozen_dataclass import frozen_dataclass

SpentSums = Mapping[SpendWindow, int]
"""What was spent in each window."""

OTHER_SPEND: Final = Refusal(
    HookError.POLICY_REFUSED, "this trigger has spent before, and not the same as now"
)
"""A request id stands for one call; a second one under it is never allowed."""


@frozen_dataclass
class Spend:
    """What one execution spends, by asset."""

    request_id: str
    subscription_id: str
    amounts: Mapping[str, int]
    at: datetime


class SpendLedger(Protocol):
    """Keeps what was spent, so that no window is exceeded, whoever signs at the same time."""

    async def spent(
        self,
        subscription_id: str,
        windows: Collection[SpendWindow],
        now: datetime,
        *,
        without: str = "",
    ) -> SpentSums:
        """Return the sums of the windows that end now; `without` names a request left out."""
        ...

    async def reserve(
        self,
        spend: Spend,
        windows: Collection[SpendWindow],
        judge: Callable[[SpentSums], Refusal | None],
    ) -> Refusal | None:
        """Judge, and keep the spend if it is allowed, while nobody else can do either.

        The same request counts once, however often it is reserved, and OTHER_SPEND is returned if
        it spends something else than before. A spend that is kept is never
        taken back, also if the transaction fails: it may have been sent.
        """
        ...
