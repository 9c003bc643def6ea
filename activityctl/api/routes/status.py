"""What is at work and what needs attention, as `status` shows it."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from activityctl.api.answers import json_response
from activityctl.api.identity import Known
from activityctl.domain.values.json_form import API_VERSION
from activityctl.errors import NotAllowedError, UnreachableError
from activityctl.operations.looking.overview import overview
from activityctl.operations.looking.overview_view import overview_view
from activityctl.wiring import Ports

router = APIRouter(tags=["health"])
_SECONDS: Final = 10.0


async def _status(request: Request, caller: Known) -> Response:
    ports: Ports = request.app.state.ports
    if not caller.reads_all:
        raise NotAllowedError(
            "this token may not read the status",
            hint="activityctl tokens create NAME --scope read",
        )
    try:
        async with asyncio.timeout(_SECONDS):
            found = await overview(
                ports.catalog,
                ports.metrics,
                ports.events,
                ports.outbox,
                ports.workers,
                ports.stuck_runs,
                chains=ports.chains,
            )
    except TimeoutError:
        raise UnreachableError(f"Postgres did not answer within {_SECONDS:g} seconds") from None
    return json_response({"apiVersion": API_VERSION, "kind": "Status", **overview_view(found)})


@router.get("/status", summary="Show what needs attention", response_class=Response)
async def status(answer: Annotated[Response, Depends(_status)]) -> Response:
    """Return the schedules, runs, firings, events and dead letters, and what needs attention.

    The processes of a machine are told only by `activityctl status` there, and by `/readyz`.
    """
    return answer
