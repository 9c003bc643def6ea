"""What people do with a run: cancel it, wait for it, replay it."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import Field

from activityctl import wiring
from activityctl.api.answers import json_response
from activityctl.api.auditing import recorded
from activityctl.api.identity import Known
from activityctl.api.inputs import LONGEST_WAIT, body_of, read_body
from activityctl.api.routes.waiting import WaitSeconds, ended, ended_or_queued
from activityctl.api.sight import Sight
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.replay_request import ContextOf, ReplayOptions, ReplayRequest
from activityctl.domain.values.model import Manifest, Name
from activityctl.errors import ConflictError, UsageError
from activityctl.operations.runs.actions import cancel
from activityctl.operations.runs.replay_runs import ReplayPlanner, store_replays
from activityctl.operations.runs.replay_view import planned_view
from activityctl.wiring import Ports

router = APIRouter(prefix="/runs", tags=["runs"])


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
    reason: str | None = None


async def _cancel(request: Request, run_id: str, caller: Known, wait: WaitSeconds = 0) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    run, owner = await sight.run(run_id)
    async with recorded(request, caller, "cancel", f"run/{run.id}"):
        sight.require_operates(owner)
        now = await ports.workers.server_time()
        found = await cancel(ports.runs, ports.run_lists, run.id, now)
    if wait:
        return json_response(await ended(request, run.id, wait))
    view = run_view(found)
    return json_response(view if found.has_ended else {**view, "status": "cancelling"}, 202)


@router.post("/{run_id}/cancel", summary="Cancel a run", response_class=Response)
async def cancel_run(answer: Annotated[Response, Depends(_cancel)]) -> Response:
    """Cancel a run and stop its tasks: 202 once the request is stored; 409 if it has ended."""
    return answer


async def _wait(
    request: Request,
    run_id: str,
    caller: Known,
    timeout: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 30,  # noqa: ASYNC109  # its name
) -> Response:
    run, _ = await Sight(request.app.state.ports, caller).run(run_id)
    return json_response(await ended(request, run.id, timeout))


@router.get("/{run_id}/wait", summary="Wait for the end of a run", response_class=Response)
async def wait_for_end(answer: Annotated[Response, Depends(_wait)]) -> Response:
    """Return the run once it has ended, whatever its status; 504 with the reason if not in time."""
    return answer


async def _replay(
    request: Request,
    run_id: str,
    caller: Known,
    *,
    wait: WaitSeconds = 0,
    dry_run: Annotated[bool, Query(alias="dryRun")] = False,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    run, owner = await sight.run(run_id)
    async with recorded(request, caller, "replay", f"run/{run.id}") as details:
        sight.require_operates(owner)
        body = await read_body(request, ReplayBody)
        asked = _request_of(body, caller.name, idempotency_key)
        now: datetime = await ports.workers.server_time()
        with wiring.evaluating():
            planned = await ReplayPlanner(ports.catalog, ports.runs, asked).plan(run, now)
        details["dryRun"] = dry_run
        if dry_run:
            return json_response(planned_view(planned))
        (outcome,) = await store_replays(ports.replays, [run.id], asked, lambda: now)
        if outcome.run_id is None:
            raise ConflictError(f"run {run.id} cannot be replayed: it is {outcome.outcome}")
        details["run"] = outcome.run_id
    return await ended_or_queued(request, outcome.run_id, wait)


def _request_of(body: ReplayBody, actor: str, key: str | None) -> ReplayRequest:
    if body.all_tasks and body.from_tasks:
        raise UsageError("allTasks and fromTasks cannot be combined", hint="send one of them")
    # A key of a client may be any text, and the name of a replay may not.
    named = uuid.uuid5(uuid.NAMESPACE_URL, key).hex if key else uuid.uuid4().hex[:12]
    context = ContextOf.LIVE if body.live_context else ContextOf.STORED
    options = ReplayOptions(tuple(body.from_tasks), body.all_tasks, body.new_keys, context)
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
