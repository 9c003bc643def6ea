"""What is at work and what needs attention, as `status` shows it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from activityctl import wiring
from activityctl.api.answers import json_response
from activityctl.api.identity import Known
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.errors import ActivityctlError, NotAllowedError, UnreachableError
from activityctl.operations.looking.overview import overview
from activityctl.operations.looking.overview_view import overview_view
from activityctl.operations.looking.relayers import low_senders_within
from activityctl.version import VERSION
from activityctl.wiring import Ports

router = APIRouter(tags=["health"])
_SECONDS: Final = 10.0
_CHAIN_SECONDS: Final = 3.0


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
    view = {"disk": await _disk(request), "lowRelayers": await _low_relayers(request)}
    head = {"apiVersion": API_VERSION, "kind": "Status", "version": VERSION}
    return json_response({**head, **view, **overview_view(found)})


async def _disk(request: Request) -> View | None:
    """Return how full the disk of the servers is; None if they are on another machine."""
    judge: Callable[[], View] | None = request.app.state.disk
    return None if judge is None else await asyncio.to_thread(judge)


async def _low_relayers(request: Request) -> list[View] | None:
    """Return the relayers that can hardly pay; None if nobody can tell in time."""
    settings, ports = request.app.state.settings, request.app.state.ports
    with suppress(ActivityctlError):
        return await low_senders_within(
            _CHAIN_SECONDS,
            ports.relays,
            lambda: wiring.open_chains(settings, wiring.open_secrets(settings)),
        )
    return None


@router.get("/status", summary="Show what needs attention", response_class=Response)
async def status(answer: Annotated[Response, Depends(_status)]) -> Response:
    """Return the schedules, runs, firings, events and dead letters, and what needs attention.

    `disk` is that of the embedded servers, and null if they are elsewhere. The processes of a
    machine are told only by `activityctl status` there, and by `/readyz`.
    """
    return answer
