"""The locks that several processes share. To take one needs a right to a table.

Any login may take an advisory lock, so that a stranger could stop the product with it. Versions
before 0.2 use advisory locks only; therefore the numbers below are taken as well, for now. The
functions `take_lock` and `take_gates` of the schema do not wait for a holder without rights.
"""

from collections.abc import Iterable
from enum import Enum

from activityctl.adapters.postgres.database import Connection


class Lock(Enum):
    """A lock: the name of its table without `_lock`, and its advisory lock in older versions."""

    CATALOG = "catalog", 0x61637470
    """Taken exclusively to change the catalog, and shared by runs that pause their subscription."""
    ROUTER = "router", 0x61637465
    RECONCILER = "reconciler", 0x61637472
    DRIFT = "drift", 0x61637461
    BACKFILLS = "backfills", 0x61637462
    CHAINS = "chains", 0x61637468

    def __init__(self, table: str, old_number: int) -> None:
        self.table = table
        self.old_number = old_number


_TAKE = "SELECT take_lock(%s, %s, %s, %s) AS is_held"


async def take_lock(connection: Connection, lock: Lock, *, is_shared: bool = False) -> None:
    """Wait for the lock and hold it until the caller's transaction ends."""
    await connection.execute(_TAKE, (lock.table, is_shared, True, lock.old_number))


async def try_lock(connection: Connection, lock: Lock) -> bool:
    """Take the lock until the caller's transaction ends; return False when it is taken."""
    cursor = await connection.execute(*try_lock_query(lock))
    row = await cursor.fetchone()
    return bool(row and row["is_held"])


def try_lock_query(lock: Lock) -> tuple[str, tuple[object, ...]]:
    """Return the statement of `try_lock` for a pipeline; its column is `is_held`."""
    return _TAKE, (lock.table, False, False, lock.old_number)


async def take_gates(connection: Connection, gates: Iterable[tuple[int, bool]]) -> None:
    """Wait for the locks of gates, each with whether it is shared, and hold them."""
    found = list(gates)
    await connection.execute(
        "SELECT take_gates(%s::bigint[], %s::boolean[])",
        ([number for number, _ in found], [is_shared for _, is_shared in found]),
    )
