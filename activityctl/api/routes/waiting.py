"""Waits for the end of a run, within the time that a request may take."""

import asyncio
from typing import Annotated, Final

from fastapi import Query, Request, Response

from activityctl import wiring
from activityctl.api.answers import json_response
from activityctl.api.inputs import LONGEST_WAIT
from activityctl.api.outages import stored_before, through_outages
from activityctl.api.standing import Standing
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import Run
from activityctl.domain.values.json_form import View
from activityctl.errors import ActivityctlError
from activityctl.operations.runs.wait import wait_for_run
from activityctl.settings import Settings

_SECONDS_TO_CONNECT: Final = 2.0
WaitSeconds = Annotated[
    float, Query(ge=0, le=LONGEST_WAIT, description="wait so many seconds for the end of the run")
]


async def ended_or_queued(
    request: Request, run_id: str, owner: Subscription, seconds: float
) -> Response:
    """Return 202 with the run's id, or the run once it has ended if seconds are given."""
    location = {"Location": f"/v1/runs/{run_id}"}
    if not seconds:
        return json_response({"id": run_id, "status": "queued"}, 202, location)
    return json_response(await ended_after(request, run_id, owner, seconds), headers=location)


async def ended_after(request: Request, run_id: str, owner: Subscription, seconds: float) -> View:
    """Return the run, which a change has started or cancelled, once it has ended, as `ended` does.

    OutcomeUnknownError in an outage that lasts.
    """
    known = f"the request for run {run_id} is stored, and how the run ends is not known yet"
    with stored_before(known, f"activityctl wait {run_id}"):
        return await ended(request, run_id, owner, seconds)


async def ended(request: Request, run_id: str, owner: Subscription, seconds: float) -> View:
    """Return the run once it has ended; WaitTimeoutError says why it has not ended in time.

    The wait goes on after an outage. TokenEndedError or NotAllowedError if the caller may not see
    the run any more.
    """
    ports: wiring.Ports = request.app.state.ports
    standing: Standing = request.app.state.standing

    async def wait(left: float) -> Run:
        return await wait_for_run(
            ports.run_lists,
            ports.workers,
            run_id,
            timeout_seconds=left,
            told_seconds=seconds,
            reaches_temporal=lambda: _reaches_temporal(request.app.state.settings),
        )

    waiting = through_outages(wait, seconds)
    return run_view(await standing.while_allowed(request, {owner.id: owner.name}, waiting))


async def _reaches_temporal(settings: Settings) -> bool:
    try:
        async with asyncio.timeout(_SECONDS_TO_CONNECT):
            await wiring.connect_temporal(settings)
    except (ActivityctlError, TimeoutError):
        return False
    return True
