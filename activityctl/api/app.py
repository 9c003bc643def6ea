"""The HTTP application: health, readiness and metrics of the daemon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Request, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from activityctl import wiring
from activityctl.api.metrics import CONTENT_TYPE, exposition
from activityctl.errors import ActivityctlError
from activityctl.settings import Settings
from activityctl.version import VERSION

_HOSTS: Final = ["127.0.0.1", "localhost", "[::1]"]
_READY_SECONDS: Final = 5.0


def build_app(settings: Settings) -> FastAPI:
    """Return the application; it serves without Postgres too, and /readyz says so."""
    app = FastAPI(
        title="activityctl",
        version=VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.settings = settings
    # DNS rebinding: a web page of another site must not reach the daemon on loopback.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS)

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Return the version, which shows that this process runs."""
        return {"status": "ok", "version": VERSION}

    @app.get("/readyz")
    async def readyz(
        response: Response, checks: Annotated[dict[str, str], Depends(_checks)]
    ) -> Any:
        """Return whether runs can start: Postgres answers and a worker is alive; else 503."""
        is_ready = all(state == "ok" for state in checks.values())
        response.status_code = 200 if is_ready else 503
        return {"status": "ok" if is_ready else "unavailable", "checks": checks}

    @app.get("/metrics")
    async def metrics(answer: Annotated[Response, Depends(_metrics)]) -> Response:
        """Return the current figures in Prometheus' format; 503 when Postgres does not answer."""
        return answer

    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with wiring.open_ports(app.state.settings) as ports:
        app.state.ports = ports
        yield


async def _metrics(request: Request) -> Response:
    ports: wiring.Ports = request.app.state.ports
    try:
        async with asyncio.timeout(_READY_SECONDS):
            figures = await ports.metrics.snapshot()
    except (ActivityctlError, TimeoutError) as error:
        return Response(f"{error}" or "no answer in time", 503, media_type="text/plain")
    return Response(exposition(figures), headers={"Content-Type": CONTENT_TYPE})


async def _checks(request: Request) -> dict[str, str]:
    ports: wiring.Ports = request.app.state.ports
    try:
        async with asyncio.timeout(_READY_SECONDS):
            alive = await ports.workers.alive()
    except (ActivityctlError, TimeoutError) as error:
        return {"postgres": f"{error}" or "no answer in time", "worker": "unknown"}
    return {"postgres": "ok", "worker": "ok" if alive else "none is running"}
