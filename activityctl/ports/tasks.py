"""Ports for task kinds and context kinds; `executors` lists and implements them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from activityctl.domain.runs.run import Run
from activityctl.domain.values.log import Level
from activityctl.domain.values.masking import Mask
from activityctl.domain.values.secret_ref import SecretRef
from activityctl.errors import TaskError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports.secrets import Destination, ResolveSecret
from activityctl.ports.tracing import Outgoing, untraced

JsonValue = Any
"""A value made of None, bool, int, float, str, list and dict with str keys."""


async def no_secrets(value: str | SecretRef, *, host: Destination) -> str:
    """Return a text as it is; there is no secret: the default of `TaskCall.secret`."""
    del host
    if isinstance(value, str):
        return value
    raise TaskError(f"there is no {value}", code="secret_missing", retryable=False)


async def _keep_nothing(_output: JsonValue, _last_lines: str) -> None:
    """Do nothing: the default of `TaskCall.stopped`."""


def _do_nothing() -> None:
    """Do nothing: the default of `TaskCall.progress`."""


class Decide(Protocol):
    """Calls a pure function that evaluates expressions, without blocking the event loop."""

    async def __call__(self, decide: Callable[..., Any], *args: Any) -> Any:
        """Return what the function returns, or raise what it raises."""
        ...


async def _decide_at_once(decide: Callable[..., Any], *args: Any) -> Any:
    """Call the function: the default of `TaskCall.decide`."""
    return decide(*args)


@frozen_dataclass
class TaskCall:
    """One attempt of one task instance, for its executor."""

    run_id: str
    task_id: str
    name: str
    index: int
    attempt: int
    idempotency_key: str
    """The same for every attempt of this task instance."""
    timeout_seconds: float
    """The time limit of the attempt; the executor must end within it."""
    log: Callable[[Level, str, Mapping[str, JsonValue]], Awaitable[None]]
    """`await log(level, message, metadata)` writes a LogEntry of the run."""
    stopped: Callable[[JsonValue, str], Awaitable[None]] = _keep_nothing
    """`await stopped(output, last_lines)` keeps what a cancelled attempt has written."""
    progress: Callable[[], None] = _do_nothing
    """`progress()` says that the attempt goes on; see `timeout.heartbeat`."""
    secret: ResolveSecret = no_secrets
    """`await secret(value, host=host)` returns the value of a `SecretText`, to be used at once."""
    mask: Mask = field(default_factory=Mask)
    """Masks the secrets that this attempt has asked for.

    Outputs, errors and the log are masked before they are stored. Who cuts a text must mask it
    first (`mask.text`), and an end that was cut off already with `mask.beginning` or `mask.end`:
    nobody else could know half a secret.
    """
    decide: Decide = _decide_at_once
    """`await decide(evaluate, source, scope)` evaluates an expression."""
    outgoing: Outgoing = untraced
    """`async with outgoing(name) as header:` makes a call, with `traceparent: header` if given."""


@frozen_dataclass
class ExecutorOutcome:
    """The result of a successful attempt."""

    output: JsonValue
    """JSON that later tasks can read."""
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    skipped: str | None = None
    """Why the task is skipped; None if it has succeeded."""


class Executor(Protocol):
    """A task kind; a worker uses one instance from its start to its end."""

    kind: ClassVar[str]
    """The key in YAML."""
    body: ClassVar[type[BaseModel]]
    """The model of the value under the key; it is checked again after rendering."""

    async def execute(self, body: Any, call: TaskCall) -> ExecutorOutcome:
        """Run one attempt.

        Raises TaskError, which says what failed and whether to retry. If the coroutine is
        cancelled, the work stops and nothing keeps running. An executor that needs time to stop
        after its limit says so in the attribute `stop_seconds`. One that calls `call.progress`
        has the attribute `reports_progress`, so that tasks can have a heartbeat timeout.
        """
        ...

    async def close(self) -> None:
        """Release the resources of this instance."""
        ...


@frozen_dataclass
class SourceCall:
    """One attempt to look up one value of the context, for its source."""

    run: Run
    """The run as it is so far, with the context of the sources above this one."""
    name: str
    """The name of the value."""
    attempt: int
    timeout_seconds: float
    """The time limit of the attempt; the source must end within it."""
    decide: Decide
    """`await decide(evaluate, source, scope)` evaluates an expression."""
    secret: ResolveSecret = no_secrets
    """`await secret(value, host=host)` returns the value of a `SecretText`, to be used at once."""
    mask: Mask = field(default_factory=Mask)
    """As that of a TaskCall. The value and the errors are masked before they are stored."""
    outgoing: Outgoing = untraced
    """As that of a TaskCall."""


class ContextSource(Protocol):
    """A context kind; it looks up a value before the rules of a run are evaluated.

    A source that may take longer than a query of Postgres is looked up in a step of its own: all
    are, but those of `domain.runs.lookup.QUICK_SOURCES`.
    """

    kind: ClassVar[str]
    """The key in YAML."""
    body: ClassVar[type[BaseModel]]
    """The model of the value under the key."""

    async def resolve(self, body: Any, call: SourceCall) -> JsonValue:
        """Return the value as JSON; raise ActivityctlError if there is none.

        Only a TaskError can say that another attempt may succeed. If the coroutine is cancelled,
        nothing keeps running.
        """
        ...
