"""Port of the ledger of relayed transactions: nonces, signed bytes, and what became of them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from activityctl.domain.chain.relaying import RelayState, RelayTransaction
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class SenderFacts:
    """What the ledger knows of a relayer on one chain."""

    chain_id: int
    sender: str
    next_nonce: int
    open_count: int
    """How many triggers have a transaction that is not confirmed yet."""
    last_hash: str | None = None
    """The hash of the confirmed transaction with the highest nonce, if it is still kept."""
    last_gas: int | None = None
    """The gas limit of that one."""


@frozen_dataclass
class RelayTask:
    """A call that was handed to a relay service."""

    hook_key: str
    url: str
    task_id: str
    """Empty while it is not known whether the service has taken the call."""
    posted_at: datetime
    response: Mapping[str, JsonValue] | None = None
    """Its last answer, when the task has ended."""


class RelayLedger(Protocol):
    """Keeps each transaction before it is sent."""

    async def transactions(self, hook_key: str) -> Sequence[RelayTransaction]:
        """Return the transactions of a trigger, all with the same nonce, the first one first."""
        ...

    async def move(
        self,
        hook_key: str,
        number: int,
        state: RelayState,
        at: datetime,
        block: tuple[int, str] | None = None,
    ) -> None:
        """Keep what is known of a transaction now; of one that has ended nothing changes."""
        ...

    async def senders(self, pairs: Collection[tuple[int, str]]) -> Mapping[str, SenderFacts]:
        """Return what is known of these relayers, given as chain and address, by `chain/address`.

        A relayer that has sent nothing on the chain is left out.
        """
        ...

    async def used_senders(self) -> Sequence[tuple[int, str]]:
        """Return the chain and address of each relayer that has sent something."""
        ...

    async def open_below(
        self, chain_id: int, sender: str, nonce: int
    ) -> Sequence[RelayTransaction]:
        """Return the newest transaction of each open nonce below this one, lowest first."""
        ...

    async def keep_task(self, task: RelayTask) -> None:
        """Keep the task before the call is posted, with its id after, and with its answer."""
        ...

    async def task(self, hook_key: str) -> RelayTask | None:
        """Return the task of a relay service for this trigger."""
        ...
