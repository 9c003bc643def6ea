"""What people do with a run: cancel it, wait for it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from activityctl.api.answers import json_response
from activityctl.api.auditing import recorded
from activityctl.api.identity import Known
from activityctl.api.inputs import LONGEST_WAIT
from activityctl.api.routes.waiting import WaitSeconds, ended, ended_after
from activityctl.api.sight import Sight
from activityctl.domain.runs.json_form import run_view
from activityctl.operations.runs.actions import cancel
from activityctl.wiring import Ports

router = APIRouter(prefix="/runs", tags=["runs"])


async def _cancel(request: Request, run_id: str, caller: Known, wait: WaitSeconds = 0) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    run, owner = await sight.run(run_id)
    async with recorded(request, caller, "cancel", f"run/{run.id}"):
        sight.require_operates(owner)
        now = await ports.workers.server_time()
        found = await cancel(ports.runs, ports.run_lists, run.id, now)
    if wait:
        return json_response(await ended_after(request, run.id, owner, wait))
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
    run, owner = await Sight(request.app.state.ports, caller).run(run_id)
    return json_response(await ended(request, run.id, owner, timeout))


@router.get("/{run_id}/wait", summary="Wait for the end of a run", response_class=Response)
async def wait_for_end(answer: Annotated[Response, Depends(_wait)]) -> Response:
    """Return the run once it has ended, whatever its status; 504 with the reason if not in time."""
    return answer
