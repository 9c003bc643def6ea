"""The HTTP application: what every request passes, the paths, and what they share."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from activityctl import wiring
from activityctl.api.allowed_methods import allowed_methods
from activityctl.api.bodies import Intake
from activityctl.api.gate import Gate
from activityctl.api.identity import Identity, require_caller
from activityctl.api.inputs import check_query
from activityctl.api.log_streams.labelled import LabelledLogs
from activityctl.api.log_streams.searches import Searches
from activityctl.api.log_streams.streams import Streams
from activityctl.api.openapi import describe_api
from activityctl.api.own_words import use_own_words
from activityctl.api.problems import problem_response
from activityctl.api.rates import Rates
from activityctl.api.reference import HEADERS, reference_page
from activityctl.api.refusals import MethodNotAllowedError, NoSuchPathError
from activityctl.api.routes import (
    backfills,
    builder_kit,
    catalog,
    documents,
    event_replays,
    events,
    explaining,
    health,
    logs,
    manifests,
    many,
    many_letters,
    objects,
    replays,
    runs,
    sources,
    status,
    subscriptions,
    tasks,
    tokens,
)
from activityctl.api.standing import Standing
from activityctl.domain.values.json_form import View
from activityctl.errors import ActivityctlError, UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.settings import Settings
from activityctl.version import VERSION

_CONNECTIONS: Final = 10
"""To Postgres, for all requests together."""
_AREAS: Final = (
    events,
    event_replays,
    explaining,
    status,
    builder_kit,
    manifests,
    many,
    many_letters,
    subscriptions,
    backfills,
    replays,
    runs,
    tasks,
    tokens,
    logs,
    documents,
    catalog,
    objects,
)
"""What needs a token. The lists come last: their paths would also fit those of the others."""
_DESCRIPTION: Final = (
    "Everything that the command line does, with the same words. Errors are problem details "
    "(RFC 9457) with `code` and `requestId`."
)


@frozen_dataclass
class ApiOptions:
    """How the server is used, as `serve` was told."""

    hosts: tuple[str, ...] = ()
    """Names under which clients reach it, beside those of loopback."""
    rate: int = 500
    """Requests a second of each token, and of each address."""
    burst: int = 1_000
    """Requests at once after a pause."""
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """The proxies that say who the client is."""
    disk: Callable[[], View] | None = None
    """Judges the disk of the embedded servers; None: they are elsewhere."""


def build_app(settings: Settings, options: ApiOptions | None = None) -> FastAPI:
    """Return the application; it serves without Postgres too, and /readyz says so."""
    chosen = options or ApiOptions()
    app = FastAPI(
        title="activityctl",
        description=_DESCRIPTION,
        version=VERSION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    # FastAPI keeps the document that this returns; a replaced method is its documented way.
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    app.state.settings = settings
    app.state.disk = chosen.disk
    app.state.intake = Intake()
    app.state.changes = asyncio.Lock()
    app.state.loading = asyncio.Lock()
    app.state.labelled_logs = LabelledLogs()
    app.state.searches = Searches()
    app.state.rates = Rates(chosen.rate, chosen.burst, time.monotonic)
    app.state.identity = Identity(settings.home if settings.uses_local_daemon else None)
    app.add_route("/docs", _show_reference, include_in_schema=False)
    app.include_router(health.router)
    app.include_router(sources.router, prefix="/v1")
    passed = [Depends(require_caller), Depends(check_query)]
    for area in _AREAS:
        app.include_router(area.router, prefix="/v1", dependencies=passed)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ActivityctlError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_wrong_parameter)
    gate_rates = Rates(chosen.rate, chosen.burst, time.monotonic)
    app.add_middleware(Gate, hosts=chosen.hosts, rates=gate_rates, proxies=chosen.proxies)
    return app


async def _show_reference(request: Request) -> Response:
    """Return the description as a page that people read."""
    page = reference_page(request.app.openapi())
    return Response(page, headers=HEADERS, media_type="text/html")


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = describe_api(app)
    return app.openapi_schema


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = app.state.settings
    async with (
        wiring.open_token_verifier(settings) as verifier,
        wiring.open_ports(settings, pool_size=_CONNECTIONS, must_answer=False) as ports,
    ):
        app.state.identity.verifier = verifier
        app.state.ports = ports
        app.state.streams = Streams(ports.logbook, ports.signals, app.state.searches)
        app.state.standing = Standing(app.state.identity, ports.tokens, ports.catalog)
        with sources.receiving(settings, ports) as app.state.receiver:
            yield


async def _on_error(request: Request, error: Exception) -> Response:
    """Answer an error of an operation; the gate answers those that are none of ours."""
    assert isinstance(error, ActivityctlError)  # noqa: S101  # it is registered for these
    use_own_words(error, request.headers.get("user-agent", ""))
    answer = problem_response(error, request.state.request_id)
    if isinstance(error, MethodNotAllowedError):
        answer.headers["Allow"] = allowed_methods(request)
    return answer


async def _on_wrong_parameter(request: Request, error: Exception) -> Response:
    """Answer parameters of the query or the path that are wrong."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # it is registered for these
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return problem_response(UsageError(f"{place}: {first['msg']}"), request.state.request_id)


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: an unknown path, or another method than the path has."""
    assert isinstance(error, HTTPException)  # noqa: S101  # it is registered for these
    answers: dict[int, Any] = {
        404: NoSuchPathError("there is nothing at this path", hint="GET /v1/openapi.json"),
        405: MethodNotAllowedError(f"this path has no method {request.method}"),
    }
    problem = answers.get(error.status_code, UsageError(str(error.detail)))
    answer = problem_response(problem, request.state.request_id)
    answer.headers.update(error.headers or {})
    if isinstance(problem, MethodNotAllowedError):
        answer.headers["Allow"] = allowed_methods(request)
    return answer
