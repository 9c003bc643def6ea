"""Route archived events again."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from activityctl import wiring
from activityctl.api.answers import json_response
from activityctl.api.auditing import recorded_unless_dry
from activityctl.api.identity import Known
from activityctl.api.inputs import LONGEST_WAIT, body_of, read_body
from activityctl.api.refusals import TokenEndedError
from activityctl.api.sight import Sight
from activityctl.api.standing import Standing
from activityctl.domain.events.query import EventQuery
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.model import JsonValue, Manifest, Name
from activityctl.domain.values.selection import Selection
from activityctl.domain.values.time_range import parse_time_range
from activityctl.errors import NotAllowedError, RefusedError, UsageError, WaitTimeoutError
from activityctl.operations.events.replay_events import replay_archived_events
from activityctl.operations.events.replay_preview import (
    ReplayPreview,
    ReplayRequest,
    preview_replay,
    preview_view,
)
from activityctl.wiring import Ports

router = APIRouter(prefix="/events", tags=["events"])
_MOST: Final = 100_000
"""More events would keep one request, and others, too long."""

_STOPPED: Final = "not all events were routed: send the same again for the rest"


class ReplayEventsBody(Manifest):
    """Which archived events are routed again, and to whom."""

    id: Name = Field(description="Under one name, an event starts a run of a trigger once.")
    since: str = Field(description="The first arrival: `2h`, or a time in RFC 3339.")
    until: str | None = Field(default=None, description="Arrived before this; without it: now.")
    types: list[str] = Field(default_factory=list, max_length=100)
    sources: list[str] = Field(default_factory=list, max_length=100)
    subscription: str | None = None
    all_subscriptions: bool = Field(
        default=False, description="Needed if there is no `subscription`."
    )
    trigger: str | None = Field(default=None, description="Without it: every event trigger.")


async def _replay(
    request: Request,
    caller: Known,
    *,
    dry_run: Annotated[bool, Query(alias="dryRun")] = False,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT, description="how long to wait for the dispatcher")
    ] = 30,
) -> Response:
    ports: Ports = request.app.state.ports
    recording = recorded_unless_dry(request, caller, "replay events", "events", is_dry=dry_run)
    async with recording as details:
        Sight(ports, caller).require_operates_something()
        body = await read_body(request, ReplayEventsBody)
        await _require_operates(Sight(ports, caller), body)
        now = await ports.workers.server_time()
        query = _query(body, now)
        asked = ReplayRequest(body.id, query, body.subscription, body.trigger)
        if (count := await ports.archive.count(query)) > _MOST:
            raise await _too_many(ports, query, count)
        details["replay"] = body.id
        with wiring.evaluating():
            preview = await preview_replay(ports.catalog, ports.events, ports.archive, asked, now)
            if dry_run:
                return json_response(preview_view(preview))
            details["recorded"] = 0
            standing: Standing = request.app.state.standing
            with _told_as_stopped():
                is_complete = await standing.while_allowed(
                    request, preview.targets.names, _routed(ports, preview, wait, details)
                )
    done = {"recorded": details["recorded"], "isComplete": is_complete}
    return json_response({**preview_view(preview), **done})


async def _too_many(ports: Ports, query: EventQuery, count: int) -> RefusedError:
    """Return the refusal, with the time up to which the events are not too many."""
    end = await ports.archive.arrival(query, _MOST)
    until = format_timestamp(end)
    if end is None or until == format_timestamp(query.since):
        hint = "choose a shorter time range, or fewer types and sources"
    else:
        hint = f"replay until {until} first, then since {until}, both under the same name"
    message = f"{count:,} events are too many for one replay by HTTP, which takes {_MOST:,}"
    return RefusedError(message, hint=hint)


@contextmanager
def _told_as_stopped() -> Iterator[None]:
    """Say to a caller who may not go on that the rest of the events is not routed."""
    try:
        yield
    except TokenEndedError:
        raise TokenEndedError(f"{_STOPPED}, with a valid token") from None
    except NotAllowedError as error:
        raise NotAllowedError(error.message, hint=f"{_STOPPED}, with a token that may") from None


async def _routed(
    ports: Ports, preview: ReplayPreview, seconds: float, details: dict[str, JsonValue]
) -> bool:
    """Return whether all events were routed in time; keep the count of new firings in details."""

    def on_recorded(count: int) -> None:
        details["recorded"] = count

    has_worker = await ports.workers.alive()
    try:
        await replay_archived_events(
            ports.archive,
            preview,
            await ports.workers.server_time(),
            timeout_seconds=seconds if has_worker else None,
            on_recorded=on_recorded,
        )
    except WaitTimeoutError:
        return False
    return True


async def _require_operates(sight: Sight, body: ReplayEventsBody) -> None:
    """Raise NotAllowedError if events could start runs that the caller may not start."""
    if (body.subscription is None) != body.all_subscriptions:
        raise UsageError(
            "name one subscription, or all of them",
            hint='send {"subscription": "NAME"} or {"allSubscriptions": true}',
        )
    if body.subscription is not None:
        sight.require_operates(await sight.subscription(body.subscription))
        return
    for owner in await sight.ports.catalog.subscriptions(Selection(limit=None)):
        sight.require_operates(owner)


def _query(body: ReplayEventsBody, now: datetime) -> EventQuery:
    first, last = parse_time_range(body.since, body.until, now)
    if first is None or first >= (last or now):
        raise UsageError(f"since {body.since} is not before until {body.until or 'now'}")
    return EventQuery(first, last or now, tuple(body.types), tuple(body.sources))


@router.post(
    "/replay",
    summary="Route archived events again",
    response_class=Response,
    openapi_extra=body_of(
        ReplayEventsBody, {"id": "after-the-outage", "since": "2h", "subscription": "eu-orders"}
    ),
)
async def replay_events(answer: Annotated[Response, Depends(_replay)]) -> Response:
    """Route archived events to one subscription or to all, as they are now: `replay events`.

    With `?dryRun=true`, nothing is stored, and the answer says what would start. If the dispatcher
    is slow, `isComplete` is false after `wait` seconds: send the same again for the rest, no event
    runs twice.
    """
    return answer
