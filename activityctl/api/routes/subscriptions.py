"""What people do with a subscription: run it now, pause, resume, see what comes next."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import Field

from activityctl.api.answers import json_response
from activityctl.api.auditing import recorded
from activityctl.api.identity import Known
from activityctl.api.inputs import body_of, read_body
from activityctl.api.object_tags import require_match
from activityctl.api.routes.waiting import WaitSeconds, ended_or_queued
from activityctl.api.sight import Sight
from activityctl.domain.access.caller import Caller
from activityctl.domain.manifests.subscription import OperatorStatus, SubscriptionStatus
from activityctl.domain.timing.preview import occurrence_view
from activityctl.domain.values.json_form import list_view
from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.time_range import parse_time_range
from activityctl.errors import UsageError
from activityctl.operations.looking.upcoming import TimeRange, merge_upcoming, upcoming
from activityctl.operations.runs.actions import change_status, log_status_change, trigger
from activityctl.wiring import Ports

router = APIRouter(prefix="/subscriptions", tags=["subscriptions"])
IdempotencyKey = Annotated[
    str | None, Header(description="the same key never runs a subscription twice")
]


class TriggerBody(Manifest):
    """How a subscription is run now."""

    trigger: str | None = Field(default=None, description="Run as if this trigger had fired.")
    key: str | None = Field(default=None, description="In place of `Idempotency-Key`.")
    payload: dict[str, JsonValue] = Field(
        default_factory=dict, description="Expressions read it as trigger.payload."
    )


class PauseBody(Manifest):
    """Why a subscription is paused."""

    reason: str | None = None


class ResumeBody(Manifest):
    """How a subscription is resumed."""

    catch_up: bool = Field(
        default=False, description="Apply the misfire policies to what was due in the pause."
    )


async def _trigger(
    request: Request,
    name: str,
    caller: Known,
    wait: WaitSeconds = 0,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    ports: Ports = request.app.state.ports
    owner = await Sight(ports, caller).subscription(name)
    async with recorded(request, caller, "trigger", f"subscription/{owner.name}") as details:
        Sight(ports, caller).require_operates(owner)
        body = await read_body(request, TriggerBody)
        if body.key is not None and idempotency_key not in {None, body.key}:
            raise UsageError("key and Idempotency-Key differ", hint="send one of them")
        firing = await trigger(
            ports.catalog,
            ports.outbox,
            owner,
            await ports.workers.server_time(),
            trigger_name=body.trigger,
            key=idempotency_key if body.key is None else body.key,
            payload=body.payload,
        )
        run_id = firing.ref.run_id
        details["run"] = run_id
    return await ended_or_queued(request, run_id, owner, wait)


@router.post(
    "/{name}/trigger",
    summary="Run a subscription now",
    response_class=Response,
    openapi_extra=body_of(TriggerBody, {"payload": {"order": 17}}),
)
async def run_now(answer: Annotated[Response, Depends(_trigger)]) -> Response:
    """Run a subscription now: 202 with the id of the run once the request is stored.

    With `?wait=SECONDS`, the answer is the run once it has ended. With `Idempotency-Key`, a repeat
    starts no second run, and has the same id; one with another payload is refused with 409.
    """
    return answer


async def _change(
    request: Request,
    caller: Caller,
    name: str,
    status: OperatorStatus,
    body: type[PauseBody] | type[ResumeBody],
) -> Response:
    """Set the status of a subscription, and write to its log who did it."""
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    owner = await sight.subscription(name)
    action = "pause" if status is SubscriptionStatus.PAUSED else "resume"
    async with recorded(request, caller, action, f"subscription/{owner.name}") as details:
        sight.require_operates(owner)
        given = await read_body(request, body)
        await require_match(request, "subscriptions", owner.id)
        reason = given.reason if isinstance(given, PauseBody) else None
        catch_up = isinstance(given, ResumeBody) and given.catch_up
        now: datetime = await ports.workers.server_time()
        options: dict[str, Any] = {"reason": reason, "catch_up": catch_up}
        is_changed = await change_status(ports.catalog, owner, status, now, **options)
        if is_changed:
            await log_status_change(ports.logbook, owner, status, now, actor=caller.name, **options)
        outcome = ("paused" if action == "pause" else "resumed") if is_changed else "unchanged"
        details["outcome"] = outcome
    return json_response({"id": owner.id, "name": owner.name, "outcome": outcome})


async def _pause(request: Request, name: str, caller: Known) -> Response:
    return await _change(request, caller, name, SubscriptionStatus.PAUSED, PauseBody)


async def _resume(request: Request, name: str, caller: Known) -> Response:
    return await _change(request, caller, name, SubscriptionStatus.ACTIVE, ResumeBody)


@router.post(
    "/{name}/pause",
    summary="Pause a subscription",
    response_class=Response,
    openapi_extra=body_of(PauseBody, {"reason": "the disk is being replaced"}),
)
async def pause(answer: Annotated[Response, Depends(_pause)]) -> Response:
    """Pause a subscription: neither schedules nor events start runs. A repeat changes nothing.

    With `If-Match`, 412 if the subscription has changed since it was read.
    """
    return answer


@router.post(
    "/{name}/resume",
    summary="Resume a subscription",
    response_class=Response,
    openapi_extra=body_of(ResumeBody, {"catchUp": True}),
)
async def resume(answer: Annotated[Response, Depends(_resume)]) -> Response:
    """Resume a paused subscription. A repeat changes nothing.

    With `If-Match`, 412 if the subscription has changed since it was read.
    """
    return answer


async def _next(
    request: Request,
    name: str,
    caller: Known,
    trigger: str | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10,
) -> Response:
    ports: Ports = request.app.state.ports
    owner = await Sight(ports, caller).subscription(name)
    now = await ports.workers.server_time()
    first, last = parse_time_range(since or "now", until, now)
    time_range = TimeRange(first or now, last, limit, trigger)
    found = await upcoming(
        ports.catalog,
        ports.register,
        ports.outbox,
        owner.id,
        time_range,
        now,
        chains=ports.chains,
    )
    firings, is_cut = merge_upcoming([found], limit)
    views = [occurrence_view(subscription, firing) for subscription, firing in firings]
    notes = {"subscription": owner.name, "notes": list(found.notes)}
    return json_response({**list_view(views, has_more=is_cut), **notes})


@router.get("/{name}/next", summary="Show what fires next", response_class=Response)
async def show_next(answer: Annotated[Response, Depends(_next)]) -> Response:
    """Show when a subscription fires next, and why a firing is moved or skipped."""
    return answer
