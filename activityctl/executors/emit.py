"""The `emit` task: stores an event, as `activityctl emit` does, so that it can start other runs.

The event carries a hop count, which stops endless cycles, and the id of the run that emitted it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, WithJsonSchema

from activityctl.domain.events.envelope import (
    KNOWN_ATTRIBUTES,
    MAX_EVENT_BYTES,
    EventEnvelope,
    check_attribute,
    envelope_of,
    fill,
)
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.runs.run import Run
from activityctl.domain.values.model import Manifest, is_written
from activityctl.domain.values.text import Text
from activityctl.errors import InvalidEventError, TaskError, UnreachableError
from activityctl.ports import EventStore, ExecutorOutcome, JsonValue, RunStore, TaskCall

HOPS: Final = "activityctlhops"
"""Extension attribute: how many emit tasks led to the event, one after the other."""
RUN: Final = "activityctlrun"
"""Extension attribute: the id of the run that emitted the event."""
MAX_HOPS: Final = 16
_RESERVED: Final = frozenset({HOPS, RUN})
_FIELDS: Final = frozenset({"id", "source", "type", "subject", "data"})


def _extension_name(name: str, info: ValidationInfo) -> str:
    if name in _RESERVED:
        raise ValueError("is set by activityctl; choose another name")
    if name in _FIELDS and is_written(info):
        raise ValueError(f"is no extension: write the field {name} of emit")
    if name not in KNOWN_ATTRIBUTES:
        _check(name, "")
    return name


def _extensions(extensions: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for name, value in extensions.items():
        _check(name, value, label=f"{name} ")
    return extensions


def _attribute(text: str, info: ValidationInfo) -> str:
    _check(str(info.field_name), text)
    return text


def _check(name: str, value: JsonValue, label: str = "") -> None:
    try:
        check_attribute(name, value)
    except InvalidEventError as error:
        raise ValueError(f"{label}{error.reason}") from None


Attribute = Annotated[Text, AfterValidator(_attribute)]
Extensions = Annotated[
    dict[
        Annotated[str, AfterValidator(_extension_name)],
        Annotated[JsonValue, WithJsonSchema({"type": ["string", "boolean", "integer"]})],
    ],
    AfterValidator(_extensions),
]


class EmitBody(Manifest):
    """Stores an event, which may start other runs. It may have 1 MiB in all."""

    type: Attribute = Field(description="The type of the event.", examples=["order.reviewed"])
    source: Attribute | None = Field(
        default=None,
        description="The source of the event; default: /activityctl/ and the subscription's name.",
        examples=["/shops/hamburg"],
    )
    subject: Attribute | None = Field(
        default=None, description="What the event is about.", examples=["order-${ event.data.id }"]
    )
    id: Attribute | None = Field(
        default=None,
        description="Unique within the source; default: the id of the task instance, so that "
        "another attempt emits the same event.",
        examples=["${ run.id }-reviewed"],
    )
    data: JsonValue = Field(
        default=None,
        description="The payload of the event.",
        examples=[{"order": "${ event.data.id }"}],
    )
    extensions: Extensions = Field(
        default={},
        description="Your own attributes; their names consist of a-z and 0-9.",
        examples=[{"tenant": "eu"}],
    )


class EmitExecutor:
    """Stores one event for each attempt; the router finds the triggers that it matches.

    Output: `id`, `source`, `outcome`. The event of a second attempt is a duplicate of the first.
    If its content differs, it is in conflict, and the task fails without another attempt.
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
        """Store the event.

        Raises TaskError when it is invalid, in conflict or part of a cycle, or when Postgres does
        not answer.
        """
        try:
            run = await self._run(call)
            event = await self._event(body, run, call)
            (outcome,) = await self._events.add([event])
        except UnreachableError as error:
            raise TaskError(error.message, code="unreachable") from error
        if outcome is EmitOutcome.CONFLICT:
            message = f"an event {event.id} of {event.source} with other content is already stored"
            raise _final(message, code="conflict")
        output = {"id": event.id, "source": event.source, "outcome": outcome.value}
        return ExecutorOutcome(output)

    async def close(self) -> None:
        """Do nothing: no resources are kept between attempts."""

    async def _run(self, call: TaskCall) -> Run:
        state = await self._runs.load(call.run_id)
        if state is None:
            raise _final(f"run {call.run_id} does not exist any more", code="run_gone")
        return state.run

    async def _event(self, body: EmitBody, run: Run, call: TaskCall) -> EventEnvelope:
        hops = 1 + max(map(hops_of, run.events), default=0)
        if hops > MAX_HOPS:
            raise _final(await self._cycle_text(run), code="too_many_hops")
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
        if len(event.serialised[0].encode()) > MAX_EVENT_BYTES:
            raise _final(f"the event is larger than {MAX_EVENT_BYTES:,} bytes", code="bad_input")
        return event

    async def _cycle_text(self, run: Run) -> str:
        """Return the message that names the subscriptions whose events led here."""
        names = [run.subscription]
        while len(names) <= MAX_HOPS and (earlier := await self._emitter(run)) is not None:
            names.insert(0, earlier.subscription)
            run = earlier
        return (
            f"{MAX_HOPS} emit tasks one after the other led to this run; this is probably a cycle: "
            f"{' -> '.join(shortened(names))}; to end it, add a filter or a rule such as "
            f"event.{HOPS} < 3"
        )

    async def _emitter(self, run: Run) -> Run | None:
        """Return the run that emitted the triggering event with the most hops, if it is known."""
        event = max(run.events, key=hops_of, default={})
        emitter = event.get(RUN)
        state = await self._runs.load(emitter) if isinstance(emitter, str) else None
        return state.run if state is not None else None


def hops_of(event: Mapping[str, JsonValue]) -> int:
    """Return how many emit tasks led to the event; 0 for an invalid count."""
    count = event.get(HOPS)
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0


def shortened(names: Sequence[str]) -> list[str]:
    """Return the last cycle of a chain of names, or the whole chain if there is no cycle.

    The cycle ends with the last name and starts where that name occurred before.
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
