"""Run due times of the past, once each, and cancel those that wait."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from activityctl.api.answers import json_response
from activityctl.api.auditing import recorded, recorded_unless_dry
from activityctl.api.identity import Known
from activityctl.api.inputs import body_of, read_body
from activityctl.api.sight import Sight
from activityctl.domain.runs.backfill import MOST_FIRINGS, Backfill, progress_view
from activityctl.domain.timing.misfires import timezone_of
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.model import Manifest
from activityctl.domain.values.time_range import parse_moment, parse_time_range
from activityctl.errors import UsageError
from activityctl.operations.runs.backfill import (
    BackfillRequest,
    preview_backfill,
    progress_of,
    start_backfill,
)
from activityctl.operations.runs.backfill_view import preview_view, result_view
from activityctl.wiring import Ports

router = APIRouter(prefix="/subscriptions/{name}/backfill", tags=["subscriptions"])


class BackfillBody(Manifest):
    """Which due times of the past are run."""

    since: str = Field(description="The first one: `7d`, or a time in RFC 3339.")
    until: str | None = Field(default=None, description="The last one; without it: now.")
    trigger: str | None = Field(
        default=None, description="Needed if the subscription has several schedules."
    )
    only_missed: bool = Field(default=False, description="Only times whose run was missed.")
    max_parallel: int = Field(default=1, ge=1, le=1_000, description="How many run at once.")


class CancelBody(Manifest):
    """Which firings are cancelled."""

    trigger: str | None = Field(default=None, description="Without it: those of every trigger.")


async def _backfill(
    request: Request,
    name: str,
    caller: Known,
    *,
    dry_run: Annotated[bool, Query(alias="dryRun")] = False,
) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    owner = await sight.subscription(name)
    target = f"subscription/{owner.name}"
    recording = recorded_unless_dry(request, caller, "backfill", target, is_dry=dry_run)
    async with recording as details:
        sight.require_operates(owner)
        body = await read_body(request, BackfillBody)
        now = await ports.workers.server_time()
        first, last = parse_time_range(body.since, body.until, now)
        if first is None or first > now:
            raise UsageError(f"since {body.since} is in the future", hint="send 7d")
        asked = BackfillRequest(
            body.trigger, first, min(last or now, now), body.only_missed, body.max_parallel
        )
        preview = await preview_backfill(
            ports.catalog, ports.register, ports.backfills, owner, asked
        )
        if dry_run:
            more = {
                "subscriptionId": owner.id,
                "subscriptionCreatedAt": format_timestamp(owner.created_at),
                "timezone": timezone_of(preview.trigger),
            }
            view = preview_view(owner.name, preview.backfill, preview.choice)
            return json_response({**view, **more})
        started = await start_backfill(ports.backfills, preview)
        details["added"] = started.added
    progress = await progress_of(ports.backfills, started)
    view = result_view(owner.name, preview.backfill, started.added, progress)
    followed = [format_timestamp(nominal) for nominal in sorted(started.followed)]
    return json_response({**view, "followed": followed}, 202)


@router.post(
    "",
    summary="Run due times of the past",
    response_class=Response,
    openapi_extra=body_of(BackfillBody, {"since": "7d", "onlyMissed": True, "maxParallel": 4}),
)
async def backfill(answer: Annotated[Response, Depends(_backfill)]) -> Response:
    """Run the due times of the past that have no run, once each: 202 once they are stored.

    A repeat starts nothing twice, and shows the progress. With `?dryRun=true`, nothing is stored,
    and the answer lists the times.
    """
    return answer


class ProgressBody(Manifest):
    """Which firings are counted."""

    trigger: str
    since: str = Field(description="As in the request whose firings they are.")
    until: str
    followed: list[str] = Field(
        max_length=MOST_FIRINGS * 2, description="Times of the answer to that request."
    )


async def _progress(request: Request, name: str, caller: Known) -> Response:
    ports: Ports = request.app.state.ports
    owner = await Sight(ports, caller).subscription(name)
    body = await read_body(request, ProgressBody)
    now = await ports.workers.server_time()
    first, last = parse_time_range(body.since, body.until, now)
    backfill = Backfill(owner.id, body.trigger, first or now, last or now, 1)
    times = [parse_moment(text, now) for text in body.followed]
    progress = await ports.backfills.progress(backfill, times)
    view = {"progress": progress_view(progress), "neverReleased": progress.cancelled}
    return json_response({"subscription": owner.name, "trigger": body.trigger, **view})


@router.post(
    "/progress",
    summary="Show how far a backfill is",
    response_class=Response,
    openapi_extra=body_of(
        ProgressBody,
        {
            "trigger": "nightly",
            "since": "2026-11-27T02:00:00Z",
            "until": "2026-11-28T02:00:00Z",
            "followed": ["2026-11-28T02:00:00.000Z"],
        },
    ),
)
async def show_progress(answer: Annotated[Response, Depends(_progress)]) -> Response:
    """Count the firings of a backfill by their state; those cancelled before they ran as cancelled.

    `neverReleased` says how many of the cancelled ones have no run.
    """
    return answer


async def _cancel(request: Request, name: str, caller: Known) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    owner = await sight.subscription(name)
    target = f"subscription/{owner.name}"
    async with recorded(request, caller, "cancel backfill", target) as details:
        sight.require_operates(owner)
        body = await read_body(request, CancelBody)
        count = await ports.backfills.cancel(owner.id, body.trigger)
        details["cancelled"] = count
    return json_response({"subscription": owner.name, "cancelled": count})


@router.post(
    "/cancel",
    summary="Cancel the firings of backfills that wait",
    response_class=Response,
    openapi_extra=body_of(CancelBody, {"trigger": "daily"}),
)
async def cancel(answer: Annotated[Response, Depends(_cancel)]) -> Response:
    """Cancel the firings of backfills that wait; running runs continue."""
    return answer
