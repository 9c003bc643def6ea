"""Logs: pages of the log of a subscription or of a run, by a cursor that loses nothing."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import StreamingResponse

from activityctl.api.answers import json_response
from activityctl.api.identity import Known
from activityctl.api.sight import Sight
from activityctl.api.streams import Streams
from activityctl.domain.values.json_form import list_view, log_view
from activityctl.domain.values.log import Cursor, Level, LogEntry, LogFilter, parse_cursor
from activityctl.domain.values.time_range import parse_time_range
from activityctl.errors import UsageError
from activityctl.wiring import Ports

router = APIRouter(tags=["logs"])
_MOST: Final = 1_000
_BEAT: Final = b": still here\n\n"
"""A comment, which says that the connection lives."""


def _filter(
    level: Annotated[Level, Query(description="the least serious level")] = "debug",
    grep: Annotated[str | None, Query(description="a regular expression", max_length=500)] = None,
    task: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> LogFilter:
    """Return which entries are wanted, without whose they are."""
    first, last = parse_time_range(since, until, datetime.now(UTC))
    return LogFilter((), None, level, grep, task, since=first, until=last)


def _position(
    after: Annotated[str | None, Query(description="the cursor of the page before")] = None,
    tail: Annotated[int | None, Query(ge=0, le=_MOST, description="the last entries")] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
) -> tuple[Cursor | None, int | None, int]:
    """Return where the page begins, and its length."""
    return None if after is None else parse_cursor(after), tail, limit


Filter = Annotated[LogFilter, Depends(_filter)]
Position = Annotated[tuple[Cursor | None, int | None, int], Depends(_position)]


async def _page(request: Request, wanted: LogFilter, name: str, position: Position) -> Response:
    ports: Ports = request.app.state.ports
    after, tail, limit = position
    if "text/event-stream" in request.headers.get("accept", ""):
        return await _stream(request, wanted, name, after, tail)
    if after is None:
        after = Cursor() if tail is None else await ports.logbook.tail(wanted, tail)
    entries, cursor = await ports.logbook.page(wanted, after, limit=limit)
    items = [{**log_view(entry), "subscription": name} for entry in entries]
    view = list_view(items, has_more=len(entries) == limit)
    return json_response({**view, "metadata": {**view["metadata"], "cursor": str(cursor)}})


async def _stream(
    request: Request, wanted: LogFilter, name: str, after: Cursor | None, tail: int | None
) -> Response:
    """Return the entries as server-sent events; the id of each is its cursor."""
    if wanted.until is not None:
        raise UsageError("a stream has no end, so it cannot have until")
    if (last := request.headers.get("last-event-id")) is not None:
        after, tail = parse_cursor(last), None
    streams: Streams = request.app.state.streams
    logbook = request.app.state.ports.logbook
    await logbook.page(wanted, after or Cursor(), limit=1)  # a wrong pattern is told before

    async def events() -> AsyncIterator[bytes]:
        async with streams.place():
            yield b": the log follows\n\n"
            async for entry in streams.follow(logbook, wanted, after, tail):
                yield _BEAT if entry is None else _event(entry, name)

    streams.require_place()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), headers=headers, media_type="text/event-stream")


def _event(entry: LogEntry, name: str) -> bytes:
    data = json.dumps({**log_view(entry), "subscription": name})
    return f"id: {entry.cursor}\nevent: log\ndata: {data}\n\n".encode()


async def _of_subscription(
    request: Request, name: str, caller: Known, wanted: Filter, position: Position
) -> Response:
    owner = await Sight(request.app.state.ports, caller).subscription(name)
    return await _page(request, wanted.of((owner.id,)), owner.name, position)


async def _of_run(
    request: Request, run_id: str, caller: Known, wanted: Filter, position: Position
) -> Response:
    run, owner = await Sight(request.app.state.ports, caller).run(run_id)
    return await _page(request, wanted.of((owner.id,), run.id), owner.name, position)


@router.get(
    "/subscriptions/{name}/logs", summary="Read the log of a subscription", response_class=Response
)
async def subscription_logs(answer: Annotated[Response, Depends(_of_subscription)]) -> Response:
    """Return a page of the log, the oldest entry first.

    Ask again with `?after=` and `metadata.cursor` for the next page, also later: no entry is
    missed, and none comes twice. With `Accept: text/event-stream`, the entries come as they are
    written; `Last-Event-ID` goes on after the last one.
    """
    return answer


@router.get("/runs/{run_id}/logs", summary="Read the log of a run", response_class=Response)
async def run_logs(answer: Annotated[Response, Depends(_of_run)]) -> Response:
    """Return a page of the log of one run, as for a subscription."""
    return answer
