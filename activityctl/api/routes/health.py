"""Whether the server runs, whether runs can start, and the metrics: open to everybody."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from activityctl import wiring
from activityctl.api.metrics import CONTENT_TYPE, exposition
from activityctl.errors import ActivityctlError
from activityctl.version import VERSION

_READY_SECONDS: Final = 5.0
router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Whether this process runs")
async def healthz() -> dict[str, Any]:
    """Return the version, which shows that this process runs."""
    return {"status": "ok", "version": VERSION}


async def _checks(request: Request) -> dict[str, str]:
    ports: wiring.Ports = request.app.state.ports
    try:
        async with asyncio.timeout(_READY_SECONDS):
            alive = await ports.workers.alive()
    except (ActivityctlError, TimeoutError) as error:
        return {"postgres": f"{error}" or "no answer in time", "worker": "unknown"}
    return {"postgres": "ok", "worker": "ok" if alive else "none is running"}


@router.get("/readyz", summary="Whether runs can start")
async def readyz(response: Response, checks: Annotated[dict[str, str], Depends(_checks)]) -> Any:
    """Return whether runs can start: Postgres answers and a worker is alive; else 503."""
    is_ready = all(state == "ok" for state in checks.values())
    response.status_code = 200 if is_ready else 503
    return {"status": "ok" if is_ready else "unavailable", "checks": checks}


async def _metrics(request: Request) -> Response:
    ports: wiring.Ports = request.app.state.ports
    try:
        async with asyncio.timeout(_READY_SECONDS):
            figures = await ports.metrics.snapshot()
    except (ActivityctlError, TimeoutError) as error:
        return Response(f"{error}" or "no answer in time", 503, media_type="text/plain")
    return Response(exposition(figures), headers={"Content-Type": CONTENT_TYPE})


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(answer: Annotated[Response, Depends(_metrics)]) -> Response:
    """Return the current figures in Prometheus' format; 503 when Postgres does not answer."""
    return answer
