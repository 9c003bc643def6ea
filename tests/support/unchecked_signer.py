"""A signer that believes every draft, for tests of nonces and of what follows a signature."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from activityctl import wiring
from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.adapters.keystore.local_signer import LocalSigner, private_key_of
from activityctl.adapters.postgres.runs.relays import PostgresRelayLedger, assign_nonce
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.transaction import SignedBytes, Transaction, sign_transaction
from activityctl.ports import SignedTransaction, TransactionDraft


class AssigningLedger(PostgresRelayLedger):
    """The ledger of relays, which also assigns nonces for whoever asks."""

    def __init__(self, ports: wiring.Ports) -> None:
        super().__init__(ports._database)  # of the product, which has no other way

    async def assign(self, draft: TransactionDraft, sender: str, sign: Any) -> SignedTransaction:
        async with self._database.transaction() as connection:
            lock = b"SELECT FROM hooks WHERE key = %s FOR UPDATE"
            await connection.execute(lock, (draft.hook_key,))
            signed, _ = await assign_nonce(connection, draft, sender, sign, datetime.now(UTC))
            return signed


class UncheckedSigner:
    """Implements the part of the Signer port that relayers use."""

    def __init__(self, keys: KeyStores, ledger: Any) -> None:
        self._keys = keys
        self._ledger = ledger

    async def addresses(self, names: Collection[str], kind: KeyKind) -> Mapping[str, str]:
        return await LocalSigner(self._keys, self._ledger).addresses(names, kind)

    async def sign_transaction(self, draft: TransactionDraft) -> SignedTransaction:
        held = await self._keys.read(draft.relayer, KeyKind.RELAYER)

        def sign(sender: str, nonce: int) -> SignedBytes:
            fees = (draft.max_fee_wei, draft.priority_fee_wei)
            transaction = Transaction(draft.chain_id, nonce, draft.to, draft.data, draft.gas, *fees)
            return sign_transaction(transaction, private_key_of(held, sender))

        return await self._ledger.assign(draft, held.current.shown.public, sign)
