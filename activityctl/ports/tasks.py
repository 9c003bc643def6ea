"""What a task kind and a context source answer to; which kinds there are stands in `executors`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from activityctl.domain.runs.run import Run
from activityctl.domain.values.log import Level

JsonValue = Any
"""A value made of None, bool, int, float, str, list and dict with str keys."""


@dataclass(frozen=True, slots=True)
class TaskCall:
    """One attempt of one task instance, as its executor sees it."""

    run_id: str
    task_id: str
    name: str
    index: int
    attempt: int
    idempotency_key: str
    """The same on every attempt of this task instance."""
    timeout_seconds: float
    """The attempt's start-to-close limit; the executor ends within it."""
    log: Callable[[Level, str, Mapping[str, JsonValue]], Awaitable[None]]
    """`await log(level, message, metadata)` writes a LogEntry of the run."""


@dataclass(frozen=True, slots=True)
class ExecutorOutcome:
    """What an attempt gave; `output` is JSON and what later tasks see."""

    output: JsonValue
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


class Executor(Protocol):
    """The body of a task kind; one instance serves a worker for its whole life."""

    kind: ClassVar[str]
    """The key in YAML."""
    body: ClassVar[type[BaseModel]]
    """The model of what stands under the key, checked again after rendering."""

    async def execute(self, body: Any, call: TaskCall) -> ExecutorOutcome:
        """Run one attempt; TaskError says what failed and whether to try again.

        Cancellation of the coroutine stops the work and leaves nothing running.
        """
        ...

    async def close(self) -> None:
        """Release what the instance holds."""
        ...


class ContextSource(Protocol):
    """A kind of context: looks a value up before a run's rules are evaluated."""

    kind: ClassVar[str]
    body: ClassVar[type[BaseModel]]

    async def resolve(self, body: Any, run: Run) -> JsonValue:
        """Return the value, as JSON; ActivityctlError says why there is none."""
        ...
