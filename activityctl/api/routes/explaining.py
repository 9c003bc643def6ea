"""Explain what events and requests mean to what is applied; nothing is stored."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from activityctl import wiring
from activityctl.api.answers import json_response, tagged_response
from activityctl.api.bodies import Intake
from activityctl.api.event_input import BATCH, LINES, STRUCTURED, EventInput
from activityctl.api.identity import Known
from activityctl.api.sight import Sight, absent
from activityctl.domain.events.emit_result import ValidEvent
from activityctl.domain.events.envelope import fill_nothing
from activityctl.domain.sources.http_text import read_http_text
from activityctl.domain.values.json_form import View, list_view
from activityctl.errors import InvalidEventError, InvalidInputError
from activityctl.operations.events.dry_run import DryRunIndex, DryRunResult, result_view
from activityctl.operations.events.emit import checked_events
from activityctl.operations.events.explain_event import explain_stored, explain_unsent
from activityctl.operations.events.explain_request import RequestReader, explain_request
from activityctl.wiring import Ports

router = APIRouter(tags=["events"])
MOST: Final = 100
"""How many events a request may have: each is compared with every trigger."""
_ALL: Final = "event triggers"
_EVENT: Final = {"specversion": "1.0", "id": "order-17", "source": "/shop", "type": "order.created"}
_EVENTS: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            STRUCTURED: {"schema": {"type": "object"}, "example": _EVENT},
            BATCH: {"schema": {"type": "array", "items": {"type": "object"}}, "example": [_EVENT]},
            LINES[0]: {"schema": {"type": "string"}, "example": json.dumps(_EVENT)},
        },
    }
}
_REQUEST: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The request: its line, its headers, an empty line, its body.",
        "content": {
            "message/http": {
                "schema": {"type": "string"},
                "example": "POST /v1/sources/code-host HTTP/1.1\r\nHost: x\r\n\r\n{}",
            }
        },
    }
}


async def read_events(request: Request) -> list[ValidEvent]:
    """Return the events of a request; InvalidEventError for one that is not valid."""
    given = EventInput(request.headers)
    intake: Intake = request.app.state.intake
    async with intake.body(request, given.limit) as body:
        return list(_valid(given, body))


def _valid(given: EventInput, body: bytes) -> Iterator[ValidEvent]:
    for number, event in enumerate(checked_events(given.events(body), fill_nothing), 1):
        if number > MOST:
            raise InvalidInputError(
                f"there are more than {MOST} events", hint="send them in several requests"
            )
        if not isinstance(event, ValidEvent):
            raise InvalidEventError(event.problem.path, event.problem.reason)
        yield event


async def judged_events(request: Request, caller: Known, *, has_sleeping: bool) -> Response:
    """Return which triggers each event would start, and with `has_sleeping` why not the others."""
    ports: Ports = request.app.state.ports
    Sight(ports, caller).require_all(_ALL)
    events = await read_events(request)
    index = DryRunIndex(await ports.catalog.present())
    with wiring.evaluating():
        views = [_judged(index, event, has_sleeping=has_sleeping) for event in events]
    return json_response(list_view(views))


def _judged(index: DryRunIndex, event: ValidEvent, *, has_sleeping: bool) -> View:
    envelope = event.envelope
    document = envelope.document
    results = index.results_for(document) if has_sleeping else index.woken(document)
    view: View = {"id": envelope.id, "source": envelope.source, "type": envelope.type}
    view["wakes"] = _results(results, wakes=True)
    return {**view, "sleeps": _results(results, wakes=False)} if has_sleeping else view


def _results(results: Sequence[DryRunResult], *, wakes: bool) -> list[View]:
    return [
        {
            **result_view(result),
            "wakes": result.wakes,
            "gathers": result.gathers,
            "reason": result.reason,
            "wantsAnother": result.wants_another,
        }
        for result in results
        if result.wakes is wakes
    ]


async def _stored(
    request: Request, uid: str, caller: Known, subscription: str | None = None
) -> Response:
    ports: Ports = request.app.state.ports
    if not caller.reads_all:
        raise absent("event", uid)
    with wiring.evaluating():
        found = await explain_stored(ports.catalog, ports.events, uid, subscription)
    return tagged_response(request, found.view)


@router.get("/events/{uid}/explanation", summary="Explain a stored event", response_class=Response)
async def explain_one(answer: Annotated[Response, Depends(_stored)]) -> Response:
    """Say which triggers match a stored event now, part by part, as `explain event ID` does.

    `verdicts` has what was decided when it was routed. The id may be its beginning.
    """
    return answer


async def _unsent(request: Request, caller: Known, subscription: str | None = None) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    if subscription is None:
        sight.require_all(_ALL)
    else:
        subscription = (await sight.subscription(subscription)).name
    events = await read_events(request)
    with wiring.evaluating():
        found = await explain_unsent(ports.catalog, events, subscription)
    return json_response(list_view(each.view for each in found))


@router.post(
    "/events/explain",
    summary="Explain events that are not sent",
    response_class=Response,
    openapi_extra=_EVENTS,
)
async def explain_events(answer: Annotated[Response, Depends(_unsent)]) -> Response:
    """Say which triggers match events, part by part, as `explain event -f` does; at most 100."""
    return answer


async def _request(
    request: Request, name: str, caller: Known, subscription: str | None = None
) -> Response:
    ports: Ports = request.app.state.ports
    Sight(ports, caller).require_all(_ALL)
    intake: Intake = request.app.state.intake
    async with intake.body(request) as body:
        saved = read_http_text(body, "body")
    secrets = wiring.open_secrets(request.app.state.settings)
    reader = RequestReader(
        ports.sources, secrets, wiring.parse_hook_body, lambda: datetime.now(UTC)
    )
    with wiring.evaluating():
        found = await explain_request(ports.catalog, reader, name, saved, subscription)
    return json_response(found.view)


@router.post(
    "/sources/{name}/explain",
    summary="Explain a request to an event source",
    response_class=Response,
    openapi_extra=_REQUEST,
)
async def explain_saved(answer: Annotated[Response, Depends(_request)]) -> Response:
    """Say how an event source verifies and maps a saved request, and what its events match.

    The secrets are those of the server. As `explain event -f request.http --source NAME` does.
    """
    return answer
