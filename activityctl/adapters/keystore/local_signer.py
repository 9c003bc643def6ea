"""The signer: opens the keys of accounts on this machine, and signs what Postgres allows."""

from collections.abc import Collection, Mapping

from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.domain.chain.executable import sign_executable
from activityctl.domain.chain.hexadecimal import checksum_address
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.keys import HeldKey, KeyKind
from activityctl.domain.chain.policy import Refusal
from activityctl.domain.chain.transaction import SignedBytes, Transaction, sign_transaction
from activityctl.domain.runs.signing import (
    ExpectedTransaction,
    SigningFacts,
    SigningRefusedError,
    permit_call,
    permit_execution,
    permit_transaction,
)
from activityctl.errors import ConflictError, NotFoundError
from activityctl.ports import ExecutionDraft, SignedTransaction, SigningLedger, TransactionDraft


class LocalSigner:
    """Implements the Signer port; it believes nothing that a draft says."""

    def __init__(self, keys: KeyStores, ledger: SigningLedger) -> None:
        self._keys = keys
        self._ledger = ledger

    async def addresses(self, names: Collection[str], kind: KeyKind) -> Mapping[str, str]:
        """Return the addresses of those keys that exist and have this kind, by name."""
        return {
            key.name: key.current.public
            for key in self._keys.known()
            if key.name in names and key.kind is kind
        }

    async def sign_execution(self, draft: ExecutionDraft) -> str:
        """Return the executor's signature of the call."""
        facts = await self._facts(draft.hook_key)
        permit = permit_execution(facts, draft.key, draft.executable, draft.context)
        held = await self._keys.read(draft.key, KeyKind.EXECUTOR)
        private_key = private_key_of(held, checksum_address(draft.context.executor))
        signature = sign_executable(permit.executable, draft.context, private_key)
        await self._ledger.keep_execution(draft.hook_key, permit, signature)
        return signature

    async def count_call(self, hook_key: str) -> None:
        """Judge the call of a trigger, and count what it spends: somebody else will send it."""
        await self._ledger.keep_call(hook_key, permit_call(await self._facts(hook_key)))

    async def sign_transaction(self, draft: TransactionDraft) -> SignedTransaction:
        """Return the signed transaction; it is stored before this returns."""
        expected = ExpectedTransaction(
            draft.number,
            draft.relayer,
            draft.chain_id,
            draft.to,
            draft.data,
            draft.gas,
            draft.max_fee_wei,
        )
        permit = permit_transaction(await self._facts(draft.hook_key), expected)
        held = await self._keys.read(draft.relayer, KeyKind.RELAYER)

        def sign(sender: str, nonce: int) -> SignedBytes:
            transaction = Transaction(
                draft.chain_id,
                nonce,
                draft.to,
                draft.data,
                draft.gas,
                draft.max_fee_wei,
                draft.priority_fee_wei,
            )
            return sign_transaction(transaction, private_key_of(held, sender))

        return await self._ledger.assign(draft, held.current.shown.public, sign, permit)

    async def _facts(self, hook_key: str) -> SigningFacts:
        facts = await self._ledger.facts(hook_key)
        if facts is None:
            raise SigningRefusedError(
                Refusal(HookError.POLICY_REFUSED, "the signer refuses: there is no such trigger")
            )
        return facts


def private_key_of(held: HeldKey, address: str) -> bytes:
    """Return the version of the key with this address; a former one may have signed before."""
    for version in held.versions:
        if version.shown.public == address:
            return version.private_key
    if held.kind is KeyKind.EXECUTOR:
        raise ConflictError(
            f"key {held.name} has the address {held.current.shown.public}, not {address}",
            hint="set executorAddress to the address of the key: activityctl keys list",
        )
    raise NotFoundError("key", f"{held.name} with the address {address}")
