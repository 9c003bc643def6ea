"""Port of what the signer knows and keeps; nobody else writes it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from activityctl.domain.runs.signing import Permit, SigningFacts
from activityctl.ports.signer import SignedTransaction, TransactionDraft

if TYPE_CHECKING:  # it loads the libraries of signatures
    from activityctl.domain.chain.transaction import SignedBytes


class SigningLedger(Protocol):
    """Keeps what is signed and what it spends, in one transaction, before anybody gets it."""

    async def facts(self, hook_key: str) -> SigningFacts | None:
        """Return what is known of a trigger; None if there is none, or its run is not its own."""
        ...

    async def keep_call(self, hook_key: str, permit: Permit) -> None:
        """Count the spends of a call that is not signed here; raises as `keep_execution`."""
        ...

    async def keep_execution(self, hook_key: str, permit: Permit, signature: str) -> None:
        """Count the spends and keep the signature that is about to be given away.

        Raises SigningRefusedError if a window has no room, or if another call or nonce was signed
        for this trigger before: there is never a second signature.
        """
        ...

    async def assign(
        self,
        draft: TransactionDraft,
        sender: str,
        sign: "Callable[[str, int], SignedBytes]",
        permit: Permit,
    ) -> SignedTransaction:
        """Count the spends, assign the nonce, sign with it and keep the bytes.

        `sign` gets the address and the nonce. The address is `sender`; for a replacement it is
        that of the first transaction. What was signed before under this number is returned.
        Raises SigningRefusedError if a window has no room, or if this trigger was signed before
        and its transaction is gone.
        """
        ...
