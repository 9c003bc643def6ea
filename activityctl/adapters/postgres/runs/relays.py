"""Relayed transactions in Postgres: the row of a relayer is locked while a nonce is assigned."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database, to_jsonb
from activityctl.domain.chain.relaying import RelayState, RelayTransaction
from activityctl.domain.chain.transaction import SignedBytes
from activityctl.ports import RelayTask, SenderFacts, SignedTransaction, TransactionDraft

_OPEN: Final = "('signed', 'sent', 'included')"
_LOCK_NONCE: Final = """
    INSERT INTO relayer_nonces AS n (chain_id, sender, next)
    VALUES (%(chain_id)s, %(sender)s, %(chain_nonce)s)
    ON CONFLICT (chain_id, sender) DO UPDATE SET next = n.next
    RETURNING next"""
_OF_HOOK: Final = "SELECT * FROM relay_transactions WHERE hook_key = %(hook_key)s ORDER BY number"
_HAS_OPEN: Final = f"""
    SELECT FROM relay_transactions
    WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND state IN {_OPEN} LIMIT 1"""
_INSERT: Final = """
    INSERT INTO relay_transactions (hook_key, number, chain_id, relayer, sender, nonce, target,
        data, gas, max_fee_wei, priority_fee_wei, hash, raw, state, signed_at)
    VALUES (%(hook_key)s, %(number)s, %(chain_id)s, %(relayer)s, %(sender)s, %(nonce)s, %(to)s,
        %(data)s, %(gas)s, %(max_fee_wei)s, %(priority_fee_wei)s, %(hash)s, %(raw)s, 'signed',
        %(now)s)
    RETURNING *"""
_MOVE: Final = f"""
    UPDATE relay_transactions SET state = %(state)s,
        sent_at = CASE WHEN %(state)s = 'sent' THEN coalesce(sent_at, %(at)s) ELSE sent_at END,
        ended_at = CASE WHEN %(state)s IN {_OPEN} THEN NULL ELSE %(at)s END,
        reorgs = reorgs + (state = 'included' AND %(state)s = 'sent')::integer,
        block_number = %(block_number)s, block_hash = %(block_hash)s
    WHERE hook_key = %(hook_key)s AND number = %(number)s AND state IN {_OPEN}"""
_SENDERS: Final = f"""
    SELECT n.chain_id, n.sender, n.next, (
            SELECT count(DISTINCT t.hook_key) FROM relay_transactions t
            WHERE t.chain_id = n.chain_id AND t.sender = n.sender AND t.state IN {_OPEN}
        ) AS open, l.hash, l.gas
    FROM relayer_nonces n
    JOIN unnest(%(chains)s::bigint[], %(addresses)s::text[]) AS w(chain_id, sender)
        ON w.chain_id = n.chain_id AND w.sender = n.sender
    LEFT JOIN LATERAL (
        SELECT t.hash, t.gas FROM relay_transactions t
        WHERE t.chain_id = n.chain_id AND t.sender = n.sender
            AND t.state IN ('confirmed', 'reverted')
        ORDER BY t.nonce DESC LIMIT 1) AS l ON true"""
_OPEN_BELOW: Final = f"""
    SELECT DISTINCT ON (nonce) * FROM relay_transactions
    WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND nonce < %(nonce)s
        AND state IN {_OPEN}
    ORDER BY nonce, number DESC LIMIT 100"""


class PostgresRelayLedger:
    """Implements the RelayLedger port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def transactions(self, hook_key: str) -> Sequence[RelayTransaction]:
        """Return the transactions of a trigger, all with the same nonce, the first one first."""
        rows = await self._database.fetch(_OF_HOOK, hook_key=hook_key)
        return [_transaction(row) for row in rows]

    async def move(
        self,
        hook_key: str,
        number: int,
        state: RelayState,
        at: datetime,
        block: tuple[int, str] | None = None,
    ) -> None:
        """Keep what is known of a transaction now; of one that has ended nothing changes."""
        await self._database.fetch(
            _MOVE,
            hook_key=hook_key,
            number=number,
            state=state.value,
            at=at,
            block_number=None if block is None else block[0],
            block_hash=None if block is None else block[1],
        )

    async def senders(self, pairs: Collection[tuple[int, str]]) -> Mapping[str, SenderFacts]:
        """Return what is known of these relayers, given as chain and address."""
        rows = await self._database.fetch(
            _SENDERS,
            chains=[chain_id for chain_id, _ in pairs],
            addresses=[address for _, address in pairs],
        )
        return {
            f"{row['chain_id']}/{row['sender']}": SenderFacts(
                row["chain_id"],
                row["sender"],
                row["next"],
                row["open"],
                row["hash"],
                row["gas"],
            )
            for row in rows
        }

    async def used_senders(self) -> Sequence[tuple[int, str]]:
        """Return the chain and address of each relayer that has sent something."""
        rows = await self._database.fetch(
            "SELECT chain_id, sender FROM relayer_nonces ORDER BY chain_id, sender"
        )
        return [(row["chain_id"], row["sender"]) for row in rows]

    async def open_below(
        self, chain_id: int, sender: str, nonce: int
    ) -> Sequence[RelayTransaction]:
        """Return the newest transaction of each open nonce below this one, lowest first."""
        rows = await self._database.fetch(
            _OPEN_BELOW, chain_id=chain_id, sender=sender, nonce=nonce
        )
        return [_transaction(row) for row in rows]

    async def keep_task(self, task: RelayTask) -> None:
        """Keep the task before the call is posted, with its id after, and with its answer."""
        await self._database.fetch(
            """INSERT INTO relay_tasks AS t (hook_key, url, task_id, posted_at, response)
               VALUES (%(hook_key)s, %(url)s, %(task_id)s, %(at)s, %(response)s)
               ON CONFLICT (hook_key) DO UPDATE
               SET task_id = coalesce(nullif(t.task_id, ''), excluded.task_id),
                   response = coalesce(excluded.response, t.response)""",
            hook_key=task.hook_key,
            url=task.url,
            task_id=task.task_id,
            at=task.posted_at,
            response=to_jsonb(task.response),
        )

    async def task(self, hook_key: str) -> RelayTask | None:
        """Return the task of a relay service for this trigger."""
        row = await self._database.fetch_one(
            "SELECT * FROM relay_tasks WHERE hook_key = %(hook_key)s", hook_key=hook_key
        )
        if row is None:
            return None
        return RelayTask(
            row["hook_key"], row["url"], row["task_id"], row["posted_at"], row["response"]
        )


async def assign_nonce(
    connection: Connection,
    draft: TransactionDraft,
    sender: str,
    sign: Callable[[str, int], SignedBytes],
    now: datetime,
) -> tuple[SignedTransaction, bool]:
    """Assign the nonce, sign with it and keep the bytes, in the caller's transaction.

    Also return whether the nonce is new. Of each trigger one caller at a time may do this.
    """
    values: dict[str, Any] = {
        "hook_key": draft.hook_key,
        "number": draft.number,
        "chain_id": draft.chain_id,
        "relayer": draft.relayer,
        "sender": sender,
        "chain_nonce": draft.chain_nonce,
        "to": draft.to,
        "data": "0x" + draft.data.hex(),
        "gas": draft.gas,
        "max_fee_wei": draft.max_fee_wei,
        "priority_fee_wei": draft.priority_fee_wei,
        "now": now,
    }
    known = [_transaction(row) for row in await _rows(connection, _OF_HOOK, values)]
    for transaction in known:
        if transaction.number == draft.number:
            return SignedTransaction(transaction), False
    if known:
        sender, nonce, drift = known[0].sender, known[0].nonce, 0
    else:
        nonce, drift = await _next_nonce(connection, draft, values)
    signed = sign(sender, nonce)
    more = {"sender": sender, "nonce": nonce, "hash": signed.hash, "raw": signed.raw}
    (row,) = await _rows(connection, _INSERT, {**values, **more})
    return SignedTransaction(_transaction(row), drift), not known


async def _next_nonce(
    connection: Connection, draft: TransactionDraft, values: Mapping[str, Any]
) -> tuple[int, int]:
    """Return the nonce, and how far that of the chain was from ours; the next one is kept."""
    (row,) = await _rows(connection, _LOCK_NONCE, values)
    ours, of_chain = row["next"], draft.chain_nonce
    nonce = max(ours, of_chain)
    is_behind = of_chain < ours and draft.is_chain_new
    if is_behind and not await _rows(connection, _HAS_OPEN, values):
        nonce = of_chain
    await connection.execute(
        b"""UPDATE relayer_nonces SET next = %(next)s
            WHERE chain_id = %(chain_id)s AND sender = %(sender)s""",
        {**values, "next": nonce + 1},
    )
    return nonce, nonce - ours


async def _rows(
    connection: Connection, query: str, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    cursor = await connection.execute(query.encode(), values)
    return await cursor.fetchall()


def _transaction(row: Mapping[str, Any]) -> RelayTransaction:
    return RelayTransaction(
        row["hook_key"],
        row["number"],
        row["chain_id"],
        row["relayer"],
        row["sender"],
        row["nonce"],
        row["target"],
        row["data"],
        row["gas"],
        row["max_fee_wei"],
        row["priority_fee_wei"],
        row["hash"],
        row["raw"],
        RelayState(row["state"]),
        row["signed_at"],
        row["sent_at"],
        row["block_number"],
        row["block_hash"],
    )
