"""The logs of a subscription as `GET /v1/:sub_id/logs` of the Builder Kit tells them."""

from typing import Final

from activityctl.domain.values.json_form import View, log_view
from activityctl.errors import UsageError
from activityctl.ports import Catalog, HookLedger

_FIELDS: Final = ("postExecutionState", "request", "response")
_OUTER: Final = (
    "message",
    "createdAt",
    "subAccountAddress",
    "chainId",
    "id",
    "subId",
    "outputTxHash",
)
MOST: Final = 1_000
LIMIT: Final = 10


async def subscription_logs(
    catalog: Catalog, ledger: HookLedger, reference: str, *, offset: int = 0, limit: int = LIMIT
) -> View:
    """Return the triggers of a subscription that have ended, newest first.

    Raises NotFoundError for an unknown subscription, UsageError for an offset or limit that is
    out of range.
    """
    if offset < 0:
        raise UsageError(f"offset is {offset}", hint="use 0 for the newest entries")
    if not 1 <= limit <= MOST:
        raise UsageError(f"limit is {limit}", hint=f"use 1 to {MOST:,}")
    owner = await catalog.find_subscription(reference)
    found = await ledger.entries(owner.id, offset=offset, limit=limit)
    views = [log_view(entry) for entry in found]
    return {
        "data": [
            {
                "metadata": {name: view["metadata"][name] for name in _FIELDS},
                **{name: view[name] for name in _OUTER},
                "id": str(view["id"]),
            }
            for view in views
        ]
    }
