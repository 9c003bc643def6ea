"""What the signer reads and keeps in Postgres; the role of a worker can write none of it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database
from activityctl.adapters.postgres.rows import spec_of
from activityctl.adapters.postgres.runs.relays import assign_nonce
from activityctl.adapters.postgres.runs.spends import reserve_spend
from activityctl.domain.chain.account import Account
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.policy import Refusal
from activityctl.domain.chain.transaction import SignedBytes
from activityctl.domain.manifests.relayed_task import RelayedTask, relayed_task
from activityctl.domain.runs.signing import Permit, SigningFacts, SigningRefusedError
from activityctl.ports import SignedTransaction, Spend, TransactionDraft

# The rows of runs and tasks are written by workers. So the revision must be one of the definition
# that the subscription names: a run that names another one has no facts.
_FACTS: Final = """
    SELECT h.key, h.request_id, h.subscription_id, h.response, h.answered_at,
        h.outcome IS NOT NULL AS is_decided, s.account, s.status = 'deleted' AS is_deleted,
        t.name AS task, f.id AS frozen_id, f.spec AS frozen, c.id AS in_force_id,
        c.spec AS in_force, e.signature, clock_timestamp() AS now
    FROM hooks h
    JOIN subscriptions s ON s.id = h.subscription_id
    JOIN runs r ON r.id = h.run_id AND r.subscription_id = s.id
    JOIN tasks t ON t.run_id = r.id AND coalesce(t.idempotency_key, t.id) = h.key
    JOIN revisions f ON f.id = r.revision_id AND f.definition = s.definition
    JOIN definitions d ON d.name = s.definition AND d.deleted_at IS NULL
    JOIN revisions c ON c.id = d.revision_id
    LEFT JOIN signed_calls e ON e.hook_key = h.key
    WHERE h.key = %(key)s"""
# The row is locked until the transaction ends, so that a second request for the trigger waits.
_CLAIM: Final = b"""
    INSERT INTO signed_calls AS e (hook_key, request_id, subscription_id, at)
    VALUES (%(key)s, %(request)s, %(subscription)s, %(at)s)
    ON CONFLICT (hook_key) DO UPDATE SET hook_key = excluded.hook_key
    RETURNING request_id, signature, transaction_hash"""


class PostgresSigningLedger:
    """Implements the SigningLedger port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def facts(self, hook_key: str) -> SigningFacts | None:
        """Return what is known of a trigger; None if there is none, or its run is not its own."""
        row = await self._database.fetch_one(_FACTS, key=hook_key)
        if row is None:
            return None
        account = row["account"]
        frozen = _task(row["frozen"], row["task"])
        is_same = row["frozen_id"] == row["in_force_id"]
        return SigningFacts(
            row["key"],
            row["request_id"],
            row["subscription_id"],
            row["response"],
            row["answered_at"],
            row["is_decided"],
            None if account is None else Account.model_validate(account),
            row["is_deleted"],
            frozen,
            frozen if is_same else _task(row["in_force"], row["task"]),
            row["signature"],
            row["now"],
        )

    async def keep_call(self, hook_key: str, permit: Permit) -> None:
        """Count the spends of a call that is not signed here."""
        async with self._database.transaction() as connection:
            await _claim(connection, hook_key, permit)
            await _reserve(connection, permit)

    async def keep_execution(self, hook_key: str, permit: Permit, signature: str) -> None:
        """Count the spends and keep the signature that is about to be given away."""
        async with self._database.transaction() as connection:
            known = await _claim(connection, hook_key, permit)
            if known["signature"] == signature:
                return
            if known["signature"] is not None:
                raise _again("another call or nonce was signed for this trigger before")
            await _reserve(connection, permit)
            await connection.execute(
                b"UPDATE signed_calls SET signature = %s WHERE hook_key = %s", (signature, hook_key)
            )

    async def assign(
        self,
        draft: TransactionDraft,
        sender: str,
        sign: Callable[[str, int], SignedBytes],
        permit: Permit,
    ) -> SignedTransaction:
        """Count the spends, assign the nonce, sign with it and keep the bytes."""
        async with self._database.transaction() as connection:
            known = await _claim(connection, draft.hook_key, permit)
            is_first = known["transaction_hash"] is None
            if is_first:
                await _reserve(connection, permit)
            signed, is_new = await assign_nonce(connection, draft, sender, sign, permit.at)
            if is_new:
                # A worker may remove triggers, and with them what was signed for them.
                if not is_first:
                    raise _again("a transaction of this trigger was signed before, and is gone")
                if draft.number != 1:
                    raise _again("there is no transaction to replace")
                await connection.execute(
                    b"UPDATE signed_calls SET transaction_hash = %s WHERE hook_key = %s",
                    (signed.transaction.hash, draft.hook_key),
                )
            return signed


async def _claim(connection: Connection, hook_key: str, permit: Permit) -> Mapping[str, Any]:
    values = {
        "key": hook_key,
        "request": permit.request_id,
        "subscription": permit.subscription_id,
        "at": permit.at,
    }
    await connection.execute(b"LOCK TABLE signed_calls IN SHARE ROW EXCLUSIVE MODE")
    cursor = await connection.execute(
        b"SELECT FROM signed_calls WHERE request_id = %(request)s AND hook_key <> %(key)s", values
    )
    if cursor.rowcount:
        raise _again("the request was signed before, for another trigger")
    cursor = await connection.execute(_CLAIM, values)
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - the statement returns the row in each case
    if row["request_id"] != permit.request_id:
        raise _again("the trigger was signed before, under another request id")
    return row


async def _reserve(connection: Connection, permit: Permit) -> None:
    spend = Spend(permit.request_id, permit.subscription_id, permit.spends, permit.at)
    refusal = await reserve_spend(connection, spend, permit.windows, permit.judge)
    if refusal is not None:
        raise SigningRefusedError(refusal)


def _task(spec: Mapping[str, Any], name: str) -> RelayedTask | None:
    return relayed_task(spec_of(spec), name)


def _again(reason: str) -> SigningRefusedError:
    return SigningRefusedError(Refusal(HookError.POLICY_REFUSED, f"the signer refuses: {reason}"))
