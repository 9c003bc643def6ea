"""The ledger of spends in Postgres: a row for each asset of each execution."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database
from activityctl.domain.chain.policy import Refusal, SpendWindow
from activityctl.ports import OTHER_SPEND, Spend, SpentSums

_SUMS: Final = """
    SELECT w.place, coalesce(sum(s.amount), 0)::numeric AS amount
    FROM unnest(%(assets)s::text[], %(lengths)s::interval[]) WITH ORDINALITY
        AS w(asset, length, place)
    LEFT JOIN spends s ON s.subscription_id = %(subscription)s AND s.asset = w.asset
        AND s.at > %(now)s::timestamptz - w.length AND s.request_id <> %(without)s
    GROUP BY w.place ORDER BY w.place"""
_KNOWN: Final = b"SELECT asset, amount FROM spends WHERE request_id = %s"
_KEEP: Final = """
    INSERT INTO spends (request_id, asset, subscription_id, amount, at)
    VALUES (%(request)s, %(asset)s, %(subscription)s, %(amount)s, %(at)s)
    ON CONFLICT (request_id, asset) DO NOTHING"""


class PostgresSpendLedger:
    """Implements the SpendLedger port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spent(
        self,
        subscription_id: str,
        windows: Collection[SpendWindow],
        now: datetime,
        *,
        without: str = "",
    ) -> SpentSums:
        """Return the sums of the windows that end now; `without` names a request left out."""
        if not windows:
            return {}
        async with self._database.connection() as connection:
            return await _sums(connection, subscription_id, list(windows), now, without)

    async def reserve(
        self,
        spend: Spend,
        windows: Collection[SpendWindow],
        judge: Callable[[SpentSums], Refusal | None],
    ) -> Refusal | None:
        """Judge, and keep the spend if it is allowed, while nobody else can do either."""
        async with self._database.transaction() as connection:
            return await reserve_spend(connection, spend, windows, judge)


async def reserve_spend(
    connection: Connection,
    spend: Spend,
    windows: Collection[SpendWindow],
    judge: Callable[[SpentSums], Refusal | None],
) -> Refusal | None:
    """Do what `reserve` does within the caller's transaction, which holds the ledger's lock."""
    await connection.execute(b"LOCK TABLE spends IN SHARE ROW EXCLUSIVE MODE")
    asked = list(windows)
    sums = await _sums(connection, spend.subscription_id, asked, spend.at, spend.request_id)
    cursor = await connection.execute(_KNOWN, (spend.request_id,))
    known = {row["asset"]: int(row["amount"]) for row in await cursor.fetchall()}
    if known and known != dict(spend.amounts):
        return OTHER_SPEND
    refusal = judge(sums)
    if refusal is not None:
        return refusal
    for asset, amount in spend.amounts.items():
        row = {
            "request": spend.request_id,
            "asset": asset,
            "subscription": spend.subscription_id,
            "amount": amount,
            "at": spend.at,
        }
        await connection.execute(_KEEP.encode(), row)
    return None


async def _sums(
    connection: Connection,
    subscription_id: str,
    windows: list[SpendWindow],
    now: datetime,
    without: str,
) -> SpentSums:
    values: dict[str, Any] = {
        "assets": [window.asset for window in windows],
        "lengths": list[timedelta](window.length for window in windows),
        "subscription": subscription_id,
        "now": now,
        "without": without,
    }
    cursor = await connection.execute(_SUMS.encode(), values)
    rows = await cursor.fetchall()
    return {window: int(row["amount"]) for window, row in zip(windows, rows, strict=True)}
