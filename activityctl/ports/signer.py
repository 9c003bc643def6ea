"""Port of the signer: the only one that opens the keys of accounts."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.relaying import RelayTransaction
from activityctl.frozen_dataclass import frozen_dataclass

if TYPE_CHECKING:  # it loads the libraries of signatures
    from activityctl.domain.chain.executable import Executable, ExecutionContext


@frozen_dataclass
class ExecutionDraft:
    """A call without its executor's signature, with which one trigger was answered."""

    hook_key: str
    """The key of the trigger in the ledger of hooks."""
    key: str
    """The name of the key that signs."""
    executable: "Executable"
    context: "ExecutionContext"


@frozen_dataclass
class TransactionDraft:
    """A transaction without its nonce, for one trigger of an executor."""

    hook_key: str
    """The key of the trigger in the ledger of hooks."""
    number: int
    """1, or one more than the last one of this trigger: then it replaces that one."""
    relayer: str
    """The name of the key that signs."""
    chain_id: int
    to: str
    data: bytes
    gas: int
    max_fee_wei: int
    priority_fee_wei: int
    chain_nonce: int
    """The relayer's next nonce, as the chain says; it counts what waits in the mempool."""
    is_chain_new: bool = False
    """Whether the chain does not know the relayer's last transaction: it was made anew."""


@frozen_dataclass
class SignedTransaction:
    """A transaction that is signed and written down; only now it may be sent."""

    transaction: RelayTransaction
    drift: int = 0
    """How far the chain's nonce was from ours: another program has used the key if positive."""


class Signer(Protocol):
    """Signs with the keys of executors and relayers.

    It checks what it signs by what Postgres says of the trigger, not by what it is told.
    """

    async def addresses(self, names: Collection[str], kind: KeyKind) -> Mapping[str, str]:
        """Return the addresses of those keys that exist and have this kind, by name."""
        ...

    async def sign_execution(self, draft: ExecutionDraft) -> str:
        """Return the executor's signature of the call (autosign).

        Raises ConflictError if the key is not the executor's, and what KeyReader raises.
        """
        ...

    async def count_call(self, hook_key: str) -> None:
        """Judge the call of a trigger, and count what it spends: somebody else will send it.

        Raises SigningRefusedError if the policy does not allow it.
        """
        ...

    async def sign_transaction(self, draft: TransactionDraft) -> SignedTransaction:
        """Return the signed transaction; the one that was signed before under this number, if any.

        The nonce is assigned and the bytes are stored in one transaction of Postgres, before this
        answers. So no nonce is left out or used twice, whoever crashes. A replacement has the
        nonce of what it replaces. Raises what KeyReader raises.
        """
        ...
