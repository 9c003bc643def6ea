"""The `emit` task: hands in an event as `activityctl emit` does, so that automations follow others.

A hop count in the event cuts circles; the run that emitted it is named beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, Field

from activityctl.domain.events.envelope import (
    MAX_EVENT_BYTES,
    EventEnvelope,
    envelope_of,
    fill,
)
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.runs.run import Run
from activityctl.domain.values.model import Manifest
from activityctl.errors import InvalidEventError, TaskError, UnreachableError
from activityctl.ports import EventStore, ExecutorOutcome, JsonValue, RunStore, TaskCall

HOPS: Final = "activityctlhops"
"""The extension attribute that counts the emit tasks that led to an event."""
RUN: Final = "activityctlrun"
"""The extension attribute that names the run which emitted the event."""
MOST_HOPS: Final = 16
_RESERVED: Final = frozenset({HOPS, RUN})


def _is_free(name: str) -> str:
    if name in _RESERVED:
        raise ValueError("is written by activityctl itself")
    return name


class EmitBody(Manifest):
    """What stands under `emit:`."""

    type: str = Field(description="The event's type.", examples=["order.reviewed"])
    source: str | None = Field(
        default=None,
        description="Where it happened; default: /activityctl/ and the subscription's name.",
        examples=["/shops/hamburg"],
    )
    subject: str | None = Field(
        default=None, description="What it happened to.", examples=["order-${ event.data.id }"]
    )
    id: str | None = Field(
        default=None,
        description="Unique within the source; default: the task instance's id, so that another "
        "attempt emits the same event.",
        examples=["${ run.id }-reviewed"],
    )
    data: JsonValue = Field(
        default=None, description="The payload.", examples=[{"order": "${ event.data.id }"}]
    )
    extensions: dict[Annotated[str, AfterValidator(_is_free)], str | bool | int] = Field(
        default={},
        description="Attributes of your own, named with a-z and 0-9.",
        examples=[{"tenant": "eu"}],
    )


class EmitExecutor:
    """Stores one event an attempt; the router finds out whom it wakes. Output: id, source, outcome.

    The event of another attempt is a duplicate, unless a task before it gave other data: then
    it is in conflict, which fails the task for good.
    """

    kind: ClassVar[str] = "emit"
    body: ClassVar[type[BaseModel]] = EmitBody

    def __init__(
        self,
        events: EventStore,
        runs: RunStore,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._events = events
        self._runs = runs
        self._clock = clock

    async def execute(self, body: EmitBody, call: TaskCall) -> ExecutorOutcome:
        """Store the event; TaskError when it is none, is in conflict or goes round in circles."""
        try:
            run = await self._run(call)
            event = await self._event(body, run, call)
            (outcome,) = await self._events.add([event])
        except UnreachableError as error:
            raise TaskError(error.message, code="unreachable") from error
        if outcome is EmitOutcome.CONFLICT:
            came = f"an event {event.id} of {event.source} came before with other content"
            raise _final(f"{came}, which stays", code="conflict")
        output = {"id": event.id, "source": event.source, "outcome": outcome.value}
        return ExecutorOutcome(output)

    async def close(self) -> None:
        """Hold nothing between attempts."""

    async def _run(self, call: TaskCall) -> Run:
        state = await self._runs.load(call.run_id)
        if state is None:
            raise _final(f"run {call.run_id} is gone", code="run_gone")
        return state.run

    async def _event(self, body: EmitBody, run: Run, call: TaskCall) -> EventEnvelope:
        hops = 1 + max(map(hops_of, run.events), default=0)
        if hops > MOST_HOPS:
            raise _final(await self._circle(run), code="too_many_hops")
        value: dict[str, JsonValue] = {
            "source": f"/activityctl/{run.subscription}",
            **body.model_dump(exclude={"extensions"}, exclude_none=True),
            **body.extensions,
            HOPS: hops,
            RUN: run.id,
        }
        if "data" in body.model_fields_set:
            value["data"] = body.data
        event = _checked(*fill(value, self._clock(), lambda: call.idempotency_key))
        if len(event.serialised()[0].encode()) > MAX_EVENT_BYTES:
            raise _final(f"the event is larger than {MAX_EVENT_BYTES:,} bytes", code="bad_input")
        return event

    async def _circle(self, run: Run) -> str:
        """Return the error that names the subscriptions whose events led here."""
        names = [run.subscription]
        while len(names) <= MOST_HOPS and (earlier := await self._emitter(run)) is not None:
            names.insert(0, earlier.subscription)
            run = earlier
        return (
            f"the events of {MOST_HOPS} emit tasks led here, which looks like a circle: "
            f"{' -> '.join(shortened(names))}; let a filter or a rule end it, for example by "
            f"event.{HOPS} < 3"
        )

    async def _emitter(self, run: Run) -> Run | None:
        """Return the run that emitted the event with the most hops among those that led to it."""
        event = max(run.events, key=hops_of, default={})
        emitter = event.get(RUN)
        state = await self._runs.load(emitter) if isinstance(emitter, str) else None
        return state.run if state is not None else None


def hops_of(event: Mapping[str, JsonValue]) -> int:
    """Return how many emit tasks led to the event; a stranger's odd count is none."""
    count = event.get(HOPS)
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0


def shortened(names: Sequence[str]) -> list[str]:
    """Return the last round of a chain that repeats itself; the whole chain of one that does not.

    The last round ends with the last name and begins with where that stood before.
    """
    *earlier, last = names
    if last not in earlier:
        return list(names)
    return list(names[len(earlier) - 1 - earlier[::-1].index(last) :])


def _checked(value: Any, filled: tuple[str, ...]) -> EventEnvelope:
    try:
        return envelope_of(value, filled)
    except InvalidEventError as error:
        raise _final(f"not an event: {error.message}", code="bad_input") from error


def _final(message: str, *, code: str) -> TaskError:
    return TaskError(message, code=code, retryable=False)
