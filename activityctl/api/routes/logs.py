"""Logs: pages of the log of a subscription or of a run, by a cursor that loses nothing."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import StreamingResponse

from activityctl.api.answers import json_response
from activityctl.api.identity import Known
from activityctl.api.log_streams.labelled import LabelledLogs
from activityctl.api.log_streams.searches import Searches
from activityctl.api.log_streams.stream import Ask
from activityctl.api.log_streams.streams import Streams
from activityctl.api.problems import problem_of
from activityctl.api.sight import Sight
from activityctl.api.standing import Standing
from activityctl.domain.access.caller import Caller
from activityctl.domain.values.json_form import View, list_view, log_view
from activityctl.domain.values.log import Cursor, Level, LogEntry, LogFilter, parse_cursor
from activityctl.domain.values.selection import parse_labels
from activityctl.domain.values.time_range import parse_time_range
from activityctl.errors import ActivityctlError, TooSlowError, UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.runs.log_selection import LogSelection
from activityctl.ports import Logbook
from activityctl.wiring import Ports

router = APIRouter(tags=["logs"])
_MOST: Final = 1_000
_LONGEST: Final = 1_000_000
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
    tail: Annotated[int | None, Query(ge=0, le=_LONGEST, description="the last entries")] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
) -> tuple[Cursor | None, int | None, int]:
    """Return where the page begins, and its length."""
    return None if after is None else parse_cursor(after), tail, limit


Filter = Annotated[LogFilter, Depends(_filter)]
Position = Annotated[tuple[Cursor | None, int | None, int], Depends(_position)]


@frozen_dataclass
class _Log:
    """Whose log is read."""

    wanted: LogFilter
    names: Mapping[str, str]
    """The names of the subscriptions, by id."""
    caller: Caller
    ask_again: Ask | None = None
    """Returns what is wanted from now on, and adds names."""


async def _page(request: Request, log: _Log, position: Position) -> Response:
    ports: Ports = request.app.state.ports
    after, tail, limit = position
    if _wants_stream(request):
        return await _stream(request, log, after, tail)
    searches: Searches = request.app.state.searches
    async with searches.place(log.wanted, log.caller.name):
        if after is None:
            after = await first_place(ports.logbook, log.wanted, tail)
        entries, cursor = await ports.logbook.page(log.wanted, after, limit=limit)
    items = [_view(entry, log) for entry in entries]
    view = list_view(items, has_more=len(entries) == limit)
    return json_response({**view, "metadata": {**view["metadata"], "cursor": str(cursor)}})


def _wants_stream(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def _view(entry: LogEntry, log: _Log) -> View:
    return {**log_view(entry), "subscription": log.names.get(entry.subscription_id)}


async def _stream(request: Request, log: _Log, after: Cursor | None, tail: int | None) -> Response:
    """Return the entries as server-sent events; the id of each is its cursor.

    The id at the beginning is where the log begins, so that a client loses nothing that is written
    while it connects again.
    """
    if log.wanted.until is not None:
        raise UsageError("a stream has no end, so it cannot have until")
    if (last := request.headers.get("last-event-id")) is not None:
        after, tail = parse_cursor(last), None
    streams: Streams = request.app.state.streams
    standing: Standing = request.app.state.standing
    logbook = request.app.state.ports.logbook
    searches: Searches = request.app.state.searches
    async with searches.place(log.wanted, log.caller.name):
        if after is None:
            after = await first_place(logbook, log.wanted, tail)
        start = after
        if log.wanted.text is not None:
            await logbook.page(log.wanted, start, limit=1)  # a wrong pattern is told before

    async def events() -> AsyncIterator[bytes]:
        owners = {} if log.ask_again else log.names
        async with streams.place():
            with standing.watching(request, owners) as lost:
                yield f": the log follows\nid: {start}\n\n".encode()
                try:
                    async for lines in streams.follow(
                        log.wanted, start, log.caller.name, log.ask_again, lost
                    ):
                        yield b"".join(line.event(log.names) for line in lines) or _BEAT
                except TooSlowError as error:
                    yield _last_event(error, request.state.request_id)
                    return
                if lost.done():
                    yield _last_event(lost.result(), request.state.request_id)

    streams.require_place()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), headers=headers, media_type="text/event-stream")


async def first_place(logbook: Logbook, wanted: LogFilter, tail: int | None) -> Cursor:
    """Return the cursor before the last entries, or before all.

    The end of the log, for a tail of 0, is found without a search.
    """
    if tail is None:
        return Cursor()
    if not tail:
        wanted = LogFilter(wanted.subscription_ids, wanted.run_id)
    return await logbook.tail(wanted, tail)


def _last_event(error: ActivityctlError, request_id: str) -> bytes:
    """Return the event that says why a stream ends before the client wants it."""
    return f"event: problem\ndata: {json.dumps(problem_of(error, request_id))}\n\n".encode()


async def _of_subscription(
    request: Request, name: str, caller: Known, wanted: Filter, position: Position
) -> Response:
    owner = await Sight(request.app.state.ports, caller).subscription(name)
    log = _Log(wanted.of((owner.id,)), {owner.id: owner.name}, caller)
    return await _page(request, log, position)


async def _of_run(
    request: Request, run_id: str, caller: Known, wanted: Filter, position: Position
) -> Response:
    run, owner = await Sight(request.app.state.ports, caller).run(run_id)
    log = _Log(wanted.of((owner.id,), run.id), {owner.id: owner.name}, caller)
    return await _page(request, log, position)


async def _of_several(  # one argument a parameter
    request: Request,
    caller: Known,
    wanted: Filter,
    position: Position,
    subscription: Annotated[list[str], Query(description="a name or an id")] = [],
    label: Annotated[list[str], Query(description="`key=value`")] = [],
) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    if subscription and label:
        raise UsageError("subscription and label cannot be combined")
    if subscription:
        owners = [await sight.subscription(each) for each in subscription]
        names: dict[str, str] = {owner.id: owner.name for owner in owners}
        return await _page(request, _Log(wanted.of(tuple(names)), names, caller), position)
    sight.require_all("logs")
    selection, labels = LogSelection(ports.catalog, ports.run_lists), parse_labels(label)
    if not _wants_stream(request):
        names = dict((await selection.labelled(labels)).names)
        return await _page(request, _Log(wanted.of(tuple(names)), names, caller), position)
    known: LabelledLogs = request.app.state.labelled_logs
    labelled = await known.find(selection, labels)

    async def ask_again() -> LogFilter:
        return wanted.of(await labelled.latest())

    log = _Log(wanted.of(labelled.ids), labelled.names, caller, ask_again)
    return await _page(request, log, position)


@router.get("/logs", summary="Read the log of several subscriptions", response_class=Response)
async def several_logs(answer: Annotated[Response, Depends(_of_several)]) -> Response:
    """Return a page of the log of the named subscriptions, of those with labels, or of all.

    As for one subscription. A stream also has what gets a label meanwhile.
    """
    return answer


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
