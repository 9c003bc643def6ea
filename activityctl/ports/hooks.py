"""Ports of hooks: what is kept of each trigger, and what carries out an executable."""

import json
from collections.abc import Awaitable, Callable, Container, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from activityctl.domain.chain.hook_outcome import HookOutcome
from activityctl.domain.chain.hook_payloads import HookContext
from activityctl.domain.chain.relaying import RelayTerms, ServiceTerms
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.masking import Mask
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

if TYPE_CHECKING:  # it loads the libraries of signatures
    from activityctl.domain.chain.executable import Executable


@frozen_dataclass
class HookOwner:
    """The subscription of a trigger, as it is now, and what its earlier triggers did."""

    account: Mapping[str, JsonValue] | None
    params: Mapping[str, JsonValue]
    created_at: datetime
    is_deleted: bool
    context: HookContext


@frozen_dataclass
class HookRow:
    """One trigger: what was sent, what came back, and what became of it."""

    key: str
    """The idempotency key of the task; a retry of a run has the key of its first run."""
    subscription_id: str
    run_id: str
    request_id: str
    payload: Mapping[str, Any]
    """The request of the trigger without its signature: the same for all attempts."""
    created_at: datetime
    request: str | None = None
    """The text that was sent last."""
    response: str | None = None
    """The text of the answer; None until the executor has answered. Then it is not asked again."""
    outcome: HookOutcome | None = None
    executed_request: str | None = None
    executed_response: str | None = None
    closed_at: datetime | None = None
    answered_at: datetime | None = None

    @property
    def sent(self) -> Mapping[str, Any]:
        """The request as it was sent last, or as it is to be sent."""
        if self.request is None:
            return self.payload
        request: Mapping[str, Any] = json.loads(self.request)
        return request


@frozen_dataclass
class HookEnd:
    """What the executed hook gave, and the log entry of the whole."""

    executed_request: str | None
    """None if the executor is not told: it has skipped."""
    executed_response: str | None
    entry: LogEntry
    at: datetime


class HookLedger(Protocol):
    """Keeps triggers, so that none is asked twice and none is forgotten."""

    async def owner(self, subscription_id: str) -> HookOwner | None:
        """Return the subscription; None if there is none."""
        ...

    async def begin(self, row: HookRow) -> HookRow:
        """Keep a new trigger; return the one that was kept under its key before, if any."""
        ...

    async def sending(self, key: str, request: str) -> None:
        """Keep what is about to be sent."""
        ...

    async def answered(
        self, key: str, response: str, outcome: HookOutcome | None, at: datetime
    ) -> HookRow:
        """Keep the answer, and count the trigger of its subscription; a second one is ignored."""
        ...

    async def decided(self, key: str, outcome: HookOutcome) -> HookRow:
        """Keep what became of it, before the executor is told; a second outcome is ignored."""
        ...

    async def close(self, key: str, end: HookEnd) -> None:
        """Keep the end, and write its log entry, once."""
        ...

    async def entries(self, subscription_id: str, *, offset: int, limit: int) -> list[LogEntry]:
        """Return the log entries of ended triggers, newest first."""
        ...


@frozen_dataclass
class HookAnswer:
    """What a service answered: a status that was accepted, and its body."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class HookSender(Protocol):
    """Posts hooks to executors' services, and asks relay services."""

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        accepted: Container[int],
        seconds: float,
        mask: Mask,
    ) -> HookAnswer:
        """Return the answer, if it has an accepted status; else raise TaskError."""
        ...

    async def post(
        self,
        url: str,
        text: str,
        headers: Mapping[str, str],
        *,
        accepted: Container[int],
        seconds: float,
        mask: Mask,
    ) -> HookAnswer:
        """Return the answer, if it has an accepted status; else raise TaskError."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


Tell = Callable[[Level, str, Mapping[str, JsonValue]], Awaitable[None]]


async def _keep_silent(_level: Level, _message: str, _metadata: Mapping[str, JsonValue]) -> None:
    """Do nothing: the default of `RelayRequest.tell`."""


@frozen_dataclass
class RelayRequest:
    """An authentic call of an executor, to be checked, signed if need be, and sent."""

    request_id: str
    subscription_id: str
    chain_id: int
    account: str
    executor: str
    executable: "Executable"
    executor_signature: str
    key: str
    """The key of the trigger in the ledger of hooks."""
    seconds: float
    """How long this attempt may take."""
    terms: RelayTerms | None = None
    """How our relayers send it; None if they do not."""
    service: ServiceTerms | None = None
    """The service that sends it instead."""
    tell: Tell = _keep_silent
    """`await tell(level, message, metadata)` writes into the log of the run."""


class Relay(Protocol):
    """Carries out executables that are allowed and signed: simulation, sending, confirmation."""

    async def has_begun(self, hook_key: str) -> bool:
        """Return whether something may have been sent for this trigger already.

        Then nothing is checked again: the chain has moved on since.
        """
        ...

    async def execute(self, request: RelayRequest) -> HookOutcome:
        """Return what became of the call.

        The same request id is sent once, however often this is called. Raises TaskError for what
        another attempt may mend; everything else is an outcome.
        """
        ...


class ContractSignatures(Protocol):
    """Asks contracts on chain whether a signature is theirs (EIP-1271)."""

    async def is_valid(self, chain_id: int, contract: str, digest: bytes, signature: bytes) -> bool:
        """Return what the contract says; False if it is none. Raises UnreachableError."""
        ...
