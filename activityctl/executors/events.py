"""The `events` context source: the latest stored events of a type."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from activityctl.domain.cel.expression import evaluate_condition
from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.runs.scope import run_scope
from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.text import TEXT_SCHEMA, FilledText
from activityctl.errors import ExpressionError
from activityctl.ports import EventArchive, SourceCall

MOST_LOOKED_AT: Final = 1_000
"""How many events one lookup reads at most, the newest first."""
_PAGE: Final = 100


def _to_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Patterns = Annotated[
    list[FilledText],
    BeforeValidator(_to_list),
    WithJsonSchema({"anyOf": [TEXT_SCHEMA, {"type": "array", "items": TEXT_SCHEMA}]}),
]


class EventsBody(Manifest):
    """The fields of an `events` context: which stored events to return."""

    type: Patterns = Field(
        min_length=1,
        description="The type of the events, or a list of types; `*` stands for any text.",
        examples=["order.created"],
    )
    source: Patterns = Field(
        default=[],
        description="The same for the source. Default: any source.",
        examples=["/shop"],
    )
    filter: str | None = Field(
        default=None,
        description="A CEL expression that must be true for an event, which it reads as `event`. "
        "An event for which it fails is left out.",
        examples=["event.data.amount > params.threshold"],
    )
    limit: int = Field(
        default=10, ge=1, le=100, description="How many events, newest first.", examples=[5]
    )
    within: LimitDuration = Field(
        default=timedelta(days=1),
        description="How far back to look, from the beginning of the run. Default: 1d.",
        examples=["7d"],
    )


class EventsSource:
    """Returns a list of events, newest first, as CloudEvents in JSON.

    At most MOST_LOOKED_AT events of the type are read, so a filter finds none that is older.
    """

    kind: ClassVar[str] = "events"
    body: ClassVar[type[BaseModel]] = EventsBody

    def __init__(self, archive: EventArchive) -> None:
        self._archive = archive

    async def resolve(self, body: EventsBody, call: SourceCall) -> JsonValue:
        """Return the latest events that arrived before the run was created."""
        until = call.run.created_at
        query = EventQuery(until - body.within, until, tuple(body.type), tuple(body.source))
        scope = run_scope(call.run, until)
        found: list[JsonValue] = []
        after: ArrivedEvent | None = None
        for _ in range(MOST_LOOKED_AT // _PAGE):
            size = _PAGE if body.filter is not None else body.limit
            page = await self._archive.page(query, after, size, newest_first=True)
            documents = [event.document for event in page]
            if body.filter is not None:
                documents = await call.decide(_matching, documents, body.filter, scope)
            found += documents
            if len(found) >= body.limit or len(page) < size:
                break
            after = page[-1]
        return [dict(document) for document in found[: body.limit]]


def _matching(
    documents: Sequence[Mapping[str, JsonValue]], condition: str, scope: Mapping[str, Any]
) -> list[Mapping[str, JsonValue]]:
    return [document for document in documents if _matches(document, condition, scope)]


def _matches(document: Mapping[str, JsonValue], condition: str, scope: Mapping[str, Any]) -> bool:
    try:
        return evaluate_condition(condition, {**scope, "event": document})
    except ExpressionError:
        return False
