"""Run past runs again: one, many at once, and how a replay has ended beside the run before."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import Field

from activityctl import wiring
from activityctl.api.answers import json_response
from activityctl.api.auditing import recorded_unless_dry
from activityctl.api.choosing import Chosen, counts, many_answer
from activityctl.api.identity import Known
from activityctl.api.inputs import body_of, read_body
from activityctl.api.routes.waiting import WaitSeconds, ended_or_queued
from activityctl.api.run_choice import Runs
from activityctl.api.sight import Sight
from activityctl.domain.runs.replay_request import ContextOf, ReplayOptions, ReplayRequest
from activityctl.domain.runs.run import Run
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.json_form import View
from activityctl.domain.values.model import Manifest, Name
from activityctl.errors import ConflictError, NotFoundError, UsageError
from activityctl.operations.runs.outcome_diff import outcome_diff
from activityctl.operations.runs.replay_runs import (
    ReplayPlanner,
    choose_replayed,
    store_replays,
)
from activityctl.operations.runs.replay_view import outcome_view, planned_view
from activityctl.wiring import Ports

router = APIRouter(prefix="/runs", tags=["runs"])
Key = Annotated[str | None, Header(description="in place of `id`")]


class ReplayBody(Manifest):
    """How a run is replayed."""

    id: Name | None = Field(
        default=None, description="Under one name a run is replayed once; or Idempotency-Key."
    )
    latest: bool = Field(default=False, description="Use the definition as it is now.")
    from_tasks: list[str] = Field(default_factory=list, description="Run these tasks again.")
    all_tasks: bool = False
    live_context: bool = False
    new_keys: bool = False
    relay: bool = Field(default=False, description="Send calls of executors as transactions.")
    reason: str | None = None


class ReplayMany(ReplayBody, Chosen):
    """Which runs are replayed, and how."""


async def _replay(
    request: Request,
    run_id: str,
    caller: Known,
    *,
    wait: WaitSeconds = 0,
    dry_run: Annotated[bool, Query(alias="dryRun")] = False,
    idempotency_key: Key = None,
) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    run, owner = await sight.run(run_id)
    recording = recorded_unless_dry(request, caller, "replay", f"run/{run.id}", is_dry=dry_run)
    async with recording as details:
        sight.require_operates(owner)
        body = await read_body(request, ReplayBody)
        asked = _request_of(body, caller.name, idempotency_key)
        now: datetime = await ports.workers.server_time()
        with wiring.evaluating():
            planned = await ReplayPlanner(ports.catalog, ports.runs, asked).plan(run, now)
        if dry_run:
            return json_response(planned_view(planned))
        (outcome,) = await store_replays(ports.replays, [run.id], asked, lambda: now)
        if outcome.run_id is None:
            raise ConflictError(f"run {run.id} cannot be replayed: it is {outcome.outcome}")
        details["run"] = outcome.run_id
    return await ended_or_queued(request, outcome.run_id, owner, wait)


def _request_of(body: ReplayBody, actor: str, key: str | None) -> ReplayRequest:
    if body.all_tasks and body.from_tasks:
        raise UsageError("allTasks and fromTasks cannot be combined", hint="send one of them")
    # A key of a client may be any text, and the name of a replay may not.
    named = uuid.uuid5(uuid.NAMESPACE_URL, key).hex if key else uuid.uuid4().hex[:12]
    context = ContextOf.LIVE if body.live_context else ContextOf.STORED
    kept = (tuple(body.from_tasks), body.all_tasks)
    options = ReplayOptions(*kept, body.new_keys, context, relays=body.relay)
    return ReplayRequest(body.id or named, actor, options, body.latest, body.reason)


@router.post(
    "/{run_id}/replay",
    summary="Run a past run again",
    response_class=Response,
    openapi_extra=body_of(ReplayBody, {"reason": "the price was wrong", "fromTasks": ["charge"]}),
)
async def replay(answer: Annotated[Response, Depends(_replay)]) -> Response:
    """Run a past run again, as a new run; what had succeeded is kept unless you ask.

    With `?dryRun=true`, nothing is started, and the answer says what would be called.
    """
    return answer


async def _replay_many(
    request: Request, caller: Known, chosen: Runs, idempotency_key: Key = None
) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    recording = recorded_unless_dry(request, caller, "replay many", "runs", is_dry=chosen.is_dry)
    async with recording as details:
        sight.require_operates_something()
        body = await read_body(request, ReplayMany)
        asked = _request_of(body, caller.name, idempotency_key)

        async def choose(choice: Choice) -> list[Run]:
            return await choose_replayed(ports.catalog, ports.run_lists, choice, asked)

        found, has_more = await chosen.runs(sight, body.ids, choose)
        if body.ids:
            for run in found:
                sight.require_operates(await ports.catalog.find_subscription(run.subscription_id))
        if chosen.is_dry:
            planned, left_out = await _planned(ports, asked, found)
            return many_answer(planned, has_more=has_more, is_dry=True, leftOut=left_out)
        now = await ports.workers.server_time()
        run_ids = [run.id for run in found]
        outcomes = await store_replays(ports.replays, run_ids, asked, lambda: now)
        views = [outcome_view(each) for each in outcomes]
        details.update(counts(views))
    return many_answer(views, has_more=has_more, is_dry=False)


async def _planned(
    ports: Ports, asked: ReplayRequest, found: list[Run]
) -> tuple[list[View], list[View]]:
    """Return what the replays would do, and which runs cannot be replayed, with the reason."""
    now = await ports.workers.server_time()
    planner = ReplayPlanner(ports.catalog, ports.runs, asked)
    planned: list[View] = []
    left_out: list[View] = []
    with wiring.evaluating():
        for run in found:
            try:
                planned.append(planned_view(await planner.plan(run, now)))
            except (ConflictError, NotFoundError) as error:
                left_out.append({"run": run.id, "code": error.code, "reason": error.message})
    return planned, left_out


@router.post(
    "/replay",
    summary="Run many past runs again",
    response_class=Response,
    openapi_extra=body_of(ReplayMany, {"id": "after-the-outage", "reason": "the server is back"}),
)
async def replay_many(answer: Annotated[Response, Depends(_replay_many)]) -> Response:
    """Run the runs again that the filters select, the oldest first, as `replay` does.

    Filters select runs that failed, unless they have a status; if a run was run again, only its
    last replay or retry counts. Under one `id`, or one `Idempotency-Key`, a run is replayed once.
    With `?dryRun=true`, nothing is started: `items` has what would be called, and `leftOut` the
    runs that cannot be replayed.
    """
    return answer


async def _diff(request: Request, run_id: str, caller: Known) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    run, _ = await sight.run(run_id)
    if run.replay_of is None:
        raise UsageError(f"run {run.id} is no replay", hint="name the run that repeats another")
    before, _ = await sight.run(run.replay_of)
    return json_response(await outcome_diff(ports.runs, before.id, run.id))


@router.get("/{run_id}/diff", summary="Compare a replay", response_class=Response)
async def diff(answer: Annotated[Response, Depends(_diff)]) -> Response:
    """Show the outcomes of a replay and of the run before it side by side: `replay --diff`."""
    return answer
