"""Events in: store what is sent, and answer once it is committed."""

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute

from activityctl import wiring
from activityctl.api.answers import json_response
from activityctl.api.auditing import entry_of, recorded_after
from activityctl.api.bodies import Intake
from activityctl.api.event_input import BATCH, LINES, STRUCTURED, EventInput
from activityctl.api.identity import Known, require_caller
from activityctl.api.problems import problem_of, respond
from activityctl.api.routes.explaining import judged_events
from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.access.caller import Caller
from activityctl.domain.events.emit_note import counts_view
from activityctl.domain.events.emit_result import Emitted
from activityctl.domain.events.envelope import fill_nothing
from activityctl.domain.events.input import InvalidEvent
from activityctl.domain.events.json_form import emitted_view
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.values.json_form import list_view, problem_view
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ActivityctlError, ConflictError, InvalidEventError, NotAllowedError
from activityctl.operations.events.emit import CheckedEvent, checked_events, emit


class _DirectRoute(APIRoute):
    """Answers a request without parameters at once.

    To look for parameters takes FastAPI a tenth of the time of a request with one event.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            if request.scope["query_string"]:
                return await handle(request)
            return await _stored(request, await require_caller(request))

        return answer


router = APIRouter(tags=["events"], route_class=_DirectRoute)
_PARSED_AT_ONCE: Final = 256 * 1024
"""Bytes of a body that are parsed while nobody else is served; a thread parses more."""
_KINDS_KEPT: Final = 256
"""Of so many types and sources of a request it is kept whether the caller may store them."""
_NEEDS: Final = "make a token for it: activityctl tokens create NAME --scope emit:type=TYPE"
_EXAMPLE: Final = {
    "specversion": "1.0",
    "id": "order-17",
    "source": "/shop",
    "type": "order.created",
    "data": {"amount": 1200},
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            STRUCTURED: {"schema": {"type": "object"}, "example": _EXAMPLE},
            BATCH: {
                "schema": {"type": "array", "items": {"type": "object"}},
                "example": [_EXAMPLE],
            },
            LINES[0]: {"schema": {"type": "string"}, "example": json.dumps(_EXAMPLE)},
        },
    }
}


Filled = Annotated[
    Literal["time"] | None,
    Query(description="add the time to events without one; it is not part of what they say"),
]


def _fill_time(value: JsonValue) -> tuple[JsonValue, tuple[str, ...]]:
    """Return the event with the present time if it has none."""
    if not isinstance(value, dict) or value.get("time") is not None:
        return value, ()
    return {**value, "time": datetime.now(UTC).isoformat().replace("+00:00", "Z")}, ("time",)


async def _stored(
    request: Request,
    caller: Known,
    fill: Filled = None,
    *,
    dry_run: Annotated[
        bool, Query(alias="dryRun", description="store nothing, say which triggers would start")
    ] = False,
    sleeps: Annotated[
        bool, Query(description="with dryRun: also the triggers that would not start, and why")
    ] = True,
) -> Response:
    if dry_run:
        return await judged_events(request, caller, has_sleeping=sleeps)
    given = EventInput(request.headers)
    complete = fill_nothing if fill is None else _fill_time
    ports: wiring.Ports = request.app.state.ports
    intake: Intake = request.app.state.intake
    results: list[Emitted] = []
    noted: Counter[EmitOutcome] = Counter()

    def note() -> AuditEntry:
        return entry_of(request, caller, "emit", ("", "done"), {})

    async with recorded_after(request, caller, "emit") as details:
        if not caller.may_emit_something:
            raise NotAllowedError("this token may not store events", hint=_NEEDS)
        async with intake.body(request, given.limit) as body:
            offers = checked_events(given.events(body), complete)
            allowed = _allowed(caller, offers, is_batch=given.is_batch)
            is_slow = len(body) > _PARSED_AT_ONCE
            async for batch in emit(ports.events, allowed, is_slow=is_slow, note=note):
                results += batch
                outcomes = Counter(result.outcome for result in batch)
                if outcomes.keys() != {EmitOutcome.INVALID}:
                    noted += outcomes
        counts = Counter(result.outcome for result in results)
        details.update(counts_view(counts - noted))  # of batches without any valid event
        details.are_kept = bool(noted) and counts == noted
    if not given.is_batch and results and results[0].problem is not None:
        return _refusal(results[0], request.state.request_id)
    is_whole = not counts[EmitOutcome.INVALID] and not counts[EmitOutcome.CONFLICT]
    view = {**list_view(map(emitted_view, results)), "summary": counts_view(counts)}
    return json_response(view, 200 if is_whole else 207)


@router.post(
    "/events",
    summary="Store events",
    response_class=Response,
    openapi_extra=_BODY,
)
async def store_events(answer: Annotated[Response, Depends(_stored)]) -> Response:
    """Store CloudEvents; each subscription that matches gets exactly one run for each event.

    The answer comes once they are committed, so that it can be trusted: send the same again when
    there was none, and no event is stored twice. A batch stores its valid events, and gives the
    outcome of each: `accepted`, `duplicate`, `conflict` or `invalid`. With `?dryRun=true`, at most
    100 events are compared with the triggers, and nothing is stored; this needs `read`.
    """
    return answer


def _allowed(
    caller: Caller, offers: Iterable[CheckedEvent], *, is_batch: bool
) -> Iterator[CheckedEvent]:
    """Yield the events; those that the caller may not store as invalid.

    NotAllowedError if there is only one event.
    """
    may_emit = lru_cache(_KINDS_KEPT)(caller.may_emit)
    for offer in offers:
        if isinstance(offer, InvalidEvent):
            yield offer
            continue
        event = offer.envelope
        if may_emit(event.type, event.source):
            yield offer
            continue
        reason = f"this token may not store the type {event.type} of the source {event.source}"
        if not is_batch:
            raise NotAllowedError(reason, hint=_NEEDS)
        yield offer.origin.refused(reason, "type")


def _refusal(result: Emitted, request_id: str) -> Response:
    """Return the answer for one event that is invalid, or in conflict with a stored one."""
    problem = result.problem
    assert problem is not None  # noqa: S101  # the caller has looked
    error: ActivityctlError = (
        ConflictError(problem.reason)
        if result.outcome is EmitOutcome.CONFLICT
        else InvalidEventError(problem.path, problem.reason)
    )
    details = problem_of(error, request_id)
    return respond({**details, "findings": [{**problem_view(problem), "file": None}]})
