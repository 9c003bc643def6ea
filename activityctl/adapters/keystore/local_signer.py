"""Signs in this process, with the keys of this machine."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.domain.chain.executable import sign_executable
from activityctl.domain.chain.hexadecimal import checksum_address
from activityctl.domain.chain.keys import HeldKey, KeyKind
from activityctl.domain.chain.transaction import SignedBytes, Transaction, sign_transaction
from activityctl.errors import ConflictError, NotFoundError
from activityctl.ports import ExecutionDraft, RelayLedger, SignedTransaction, TransactionDraft


class LocalSigner:
    """Implements the Signer port."""

    def __init__(
        self,
        keys: KeyStores,
        ledger: RelayLedger,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = keys
        self._ledger = ledger
        self._clock = clock

    async def addresses(self, names: Collection[str], kind: KeyKind) -> Mapping[str, str]:
        """Return the addresses of those keys that exist and have this kind, by name."""
        return {
            key.name: key.current.public
            for key in self._keys.known()
            if key.name in names and key.kind is kind
        }

    async def sign_execution(self, draft: ExecutionDraft) -> str:
        """Return the executor's signature of the call."""
        held = await self._keys.read(draft.key, KeyKind.EXECUTOR)
        executor = checksum_address(draft.context.executor)
        private_key = _private_key(held, executor)
        return sign_executable(draft.executable, draft.context, private_key)

    async def sign_transaction(self, draft: TransactionDraft) -> SignedTransaction:
        """Return the signed transaction; it is stored before this returns."""
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
            return sign_transaction(transaction, _private_key(held, sender))

        sender = held.current.shown.public
        return await self._ledger.assign(draft, sender, sign, self._clock())


def _private_key(held: HeldKey, address: str) -> bytes:
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
