"""What a strategy written in Python imports: `Context`, `Executable`, `Skip`, `StrategyError`.

A strategy is a class without arguments and with a coroutine `execute(context, request)`. Its
package lists it as an entry point of the group `activityctl.strategies`, or a definition names
it as `module:Class`. See the guide: `activityctl guide tasks-code-and-python`.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from activityctl.frozen_dataclass import frozen_dataclass

JsonValue = Any
"""None, bool, int, float, str, list, or dict with str keys."""
Level = Literal["debug", "info", "warning", "error"]


class Skip(Exception):  # noqa: N818 - it is no error
    """Raise it to end the task as skipped, with a reason."""


class StrategyError(Exception):
    """Raise it to fail the attempt; `retryable` says whether another attempt may succeed."""

    def __init__(self, message: str, *, retryable: bool = True, code: str = "strategy") -> None:
        super().__init__(message)
        self.retryable = retryable
        self.code = code


@frozen_dataclass
class Executable:
    """Return it to have this call made for the account of the subscription.

    The task needs `executorAddress`, `plugin`, `policy` and `relay`. See the guide.
    """

    to: str
    data: str | bytes = "0x"
    value: str | int = 0
    """In wei."""
    call_type: int = 0
    """0 is a call, 1 a delegate call."""
    executor_signature: str = "0x"
    """The executor's own EIP-712 signature; leave it out if the task has `autosign`."""


class Context(Protocol):
    """One attempt of one task, for its strategy."""

    run_id: str
    task_id: str
    task: str
    """The name of the task."""
    subscription: str
    definition: str
    trigger: str
    attempt: int
    idempotency_key: str
    """The same for every attempt of this task: send it with every effect."""
    timeout_seconds: float
    params: Mapping[str, JsonValue]
    state: Mapping[str, JsonValue]
    """What the last run that succeeded has kept, by `state` of the definition."""
    account: Mapping[str, JsonValue] | None
    """The on-chain account of the subscription, if the task has `executorAddress`."""
    event: Mapping[str, JsonValue] | None
    """The event that started the run, or None."""
    context: Mapping[str, JsonValue]
    """What the sources of the definition's `context` have found."""
    secrets: Mapping[str, str]
    """The values of `secrets` of the task."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the attempt has to stop. A coroutine is cancelled too; blocking code looks."""
        ...

    def log(self, message: str, level: Level = "info", **facts: JsonValue) -> None:
        """Write into the log of the run."""
        ...

    def heartbeat(self) -> None:
        """Say that the attempt goes on; see `timeout.heartbeat` of the task."""
        ...


class Executor(Protocol):
    """The form of a strategy."""

    async def execute(self, context: Context, request: JsonValue) -> JsonValue:
        """Return the response as JSON, or an Executable."""
        ...
