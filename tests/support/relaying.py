"""What tests of relayers share: triggers that were answered, and keys in a home of their own."""

from datetime import UTC, datetime
from typing import Any

from activityctl import wiring
from activityctl.ports import HookRow, TransactionDraft
from support.engine import Engine

TO = "0xD1f745F0D14918a2C1E31153f2492891e4526ea4"
SPEC = {"tasks": [{"name": "one", "command": {"argv": ["true"]}}]}


async def triggers(ports: wiring.Ports, *keys: str) -> None:
    """Keep a trigger under each key; they are of one subscription."""
    mine = await Engine(ports).apply(SPEC)
    for key in keys:
        row = HookRow(key, mine.id, f"run-{key}", f"request-{key}", {}, datetime.now(UTC))
        await ports.hooks.begin(row)


def draft(key: str, number: int = 1, **fields: Any) -> TransactionDraft:
    values = {
        "relayer": "relayer-1",
        "chain_id": 31337,
        "to": TO,
        "data": b"\1\2",
        "gas": 50_000,
        "max_fee_wei": 100,
        "priority_fee_wei": 1,
        "chain_nonce": 0,
    }
    return TransactionDraft(key, number, **{**values, **fields})
