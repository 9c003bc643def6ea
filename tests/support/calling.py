"""Tasks that make calls: their steps, and a relay and a ledger that stand for others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from activityctl import wiring
from activityctl.domain.chain.hook_outcome import HookOutcome, OutcomeKind
from activityctl.domain.chain.hook_payloads import empty_relay_response
from activityctl.executors.trigger_steps import TriggerSteps
from activityctl.ports import RelayRequest

HASH = "0x" + "ab" * 32


class LostWorkerError(Exception):
    """The worker is killed here."""


@dataclass
class Sent:
    """A relay that has sent everything; it remembers what it was asked."""

    requests: list[RelayRequest] = field(default_factory=list)
    begun: bool = False

    async def has_begun(self, hook_key: str) -> bool:
        del hook_key
        return self.begun

    async def execute(self, request: RelayRequest) -> HookOutcome:
        self.requests.append(request)
        response = {**empty_relay_response(), "outputTransactionHash": HASH}
        return HookOutcome(OutcomeKind.EXECUTED, relay_response=response, transaction_hash=HASH)


@dataclass
class Cut:
    """A ledger whose worker dies right after, or right before, one of its calls, once."""

    ledger: Any
    where: str
    is_after: bool = True

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self.ledger, name)
        if name != self.where:
            return inner

        async def call(*arguments: Any) -> Any:
            self.where = ""
            if self.is_after:
                await inner(*arguments)
            raise LostWorkerError

        return call


def no_calls(ports: wiring.Ports) -> TriggerSteps:
    """Return the steps of a worker whose tasks make no calls."""
    return TriggerSteps(ports.runs, ports.hooks, ports.spends, cast("Any", None))


def call_body(notes: str, **fields: Any) -> Mapping[str, Any]:
    """Return the body of a task whose strategy notes that it ran; `call` is what it wants."""
    asked = {name: fields.pop(name) for name in ("call", "skip") if name in fields}
    return {
        "strategy": "sample_strategies:Calls",
        "request": {"notes": notes, **asked},
        **fields,
    }
