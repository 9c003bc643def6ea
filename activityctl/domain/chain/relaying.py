"""A relayed transaction: what is known of it, and what is to be done about it next."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from activityctl.frozen_dataclass import frozen_dataclass

DEFAULT_CONFIRMATIONS: Final = 12
DEFAULT_REPLACE_AFTER: Final = timedelta(minutes=1)
LOST_DEPTH: Final = 3
"""A nonce that another transaction has used is lost after at least so many blocks."""


class RelayState(StrEnum):
    """How far a transaction is."""

    SIGNED = "signed"
    """It is written down; whether a node has it is not known."""
    SENT = "sent"
    """A node has taken it."""
    INCLUDED = "included"
    """It is in a block that a reorganisation may still take back."""
    CONFIRMED = "confirmed"
    """It is in a block that is deep enough, and did what it should."""
    REVERTED = "reverted"
    """It is in a block that is deep enough, and the contract has refused it."""
    REPLACED = "replaced"
    """Another transaction of the same trigger, with the same nonce, is in a block."""
    LOST = "lost"
    """A transaction of somebody else has used its nonce."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing can change any more."""
        return self not in {RelayState.SIGNED, RelayState.SENT, RelayState.INCLUDED}


@frozen_dataclass
class RelayTransaction:
    """A signed transaction of a trigger."""

    hook_key: str
    number: int
    """1 for the first; a replacement has the next number and the same nonce."""
    chain_id: int
    relayer: str
    """The name of the key."""
    sender: str
    """The address of the key, with its checksum."""
    nonce: int
    to: str
    data: str
    gas: int
    max_fee_wei: int
    priority_fee_wei: int
    hash: str
    raw: str
    state: RelayState
    signed_at: datetime
    sent_at: datetime | None = None
    block_number: int | None = None
    block_hash: str | None = None


@frozen_dataclass
class RelayTerms:
    """How the calls of a task are relayed."""

    plugin: str
    """The contract that checks the executor's signature, and lets the account make the call."""
    relayers: tuple[str, ...]
    """The names of the keys that may send it."""
    confirmations: int = DEFAULT_CONFIRMATIONS
    """How many blocks must follow before it is done."""
    max_fee_wei: int | None = None
    """The most that one unit of gas may cost."""
    max_gas: int | None = None
    """The most gas that a transaction may use."""
    replace_after: timedelta = DEFAULT_REPLACE_AFTER
    """After how long without a block it is sent again with higher fees."""


@frozen_dataclass
class ServiceTerms:
    """The service that relays the calls of a task."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    """What it knows us by; a secret."""


@frozen_dataclass
class Receipt:
    """What a node says of a transaction in a block."""

    block_number: int
    block_hash: str
    is_successful: bool


@frozen_dataclass
class ChainView:
    """What one node says of a relayer and its transactions; the nonces were asked first."""

    head: int
    """The number of the latest block."""
    nonce: int
    """The relayer's next nonce after the latest block."""
    settled_nonce: int
    """The same, some blocks before; see `lost_depth`."""
    receipts: Mapping[str, Receipt]
    """The receipts by the hash of their transaction."""
    is_known: bool
    """Whether the node has the newest transaction."""


@frozen_dataclass
class Wait:
    """Nothing is to be done now."""


@frozen_dataclass
class Resend:
    """The same bytes are to be sent again."""

    transaction: RelayTransaction


@frozen_dataclass
class Replace:
    """It waits too long: the same call is to be sent with the same nonce and higher fees."""

    transaction: RelayTransaction


@frozen_dataclass
class TakenBack:
    """A reorganisation has removed its block: it is pending again."""

    transaction: RelayTransaction


@frozen_dataclass
class Included:
    """It is in a block; more must follow."""

    transaction: RelayTransaction
    receipt: Receipt


@frozen_dataclass
class Ended:
    """It has ended; the others of its trigger are replaced by it."""

    transaction: RelayTransaction
    state: RelayState
    receipt: Receipt | None = None


Step = Wait | Resend | Replace | TakenBack | Included | Ended


def lost_depth(confirmations: int) -> int:
    """Return how many blocks back the nonce is asked for, to see whether another has used it."""
    return max(confirmations, LOST_DEPTH)


def next_step(
    versions: Sequence[RelayTransaction], view: ChainView, terms: RelayTerms, now: datetime
) -> Step:
    """Return what is to be done about the transactions of one trigger; they have one nonce.

    A node that lags behind the block of a transaction says nothing about it.
    """
    for version in versions:
        if (receipt := view.receipts.get(version.hash)) is not None:
            if view.head - receipt.block_number < terms.confirmations:
                return Included(version, receipt)
            state = RelayState.CONFIRMED if receipt.is_successful else RelayState.REVERTED
            return Ended(version, state, receipt)
    for version in versions:
        if version.state is RelayState.INCLUDED:
            lags = version.block_number is not None and view.head < version.block_number
            return Wait() if lags else TakenBack(version)
    if view.nonce > versions[-1].nonce:
        is_lost = view.settled_nonce > versions[-1].nonce
        return Ended(versions[-1], RelayState.LOST) if is_lost else Wait()
    return _pending_step(versions[-1], view, terms, now)


def _pending_step(
    newest: RelayTransaction, view: ChainView, terms: RelayTerms, now: datetime
) -> Step:
    """Return what is to be done about a transaction that is in no block."""
    if newest.state is RelayState.SIGNED or not view.is_known:
        return Resend(newest)
    is_first = view.nonce == newest.nonce
    is_stuck = now - (newest.sent_at or newest.signed_at) >= terms.replace_after
    return Replace(newest) if is_first and is_stuck else Wait()


@frozen_dataclass
class Candidate:
    """A relayer that could send a transaction."""

    name: str
    address: str
    open_count: int
    """How many triggers have a transaction of it that is not confirmed yet."""
    balance_wei: int


def choose_relayer(candidates: Sequence[Candidate], cost_wei: int) -> Candidate | None:
    """Return the one with the least to do that can pay the cost; the first one among equals."""
    able = [candidate for candidate in candidates if candidate.balance_wei >= cost_wei]
    return min(able, key=lambda candidate: candidate.open_count, default=None)
