"""`activityctl serve`: serve the HTTP API."""

import asyncio
import socket
from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.session import Session
from activityctl.errors import RefusedError, reason_of


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="The address to listen on.", metavar="ADDRESS")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The port to listen on; 0 for any free port.")
    ] = 7070,
) -> None:
    """Serve the HTTP API: /healthz, /readyz and /metrics.

    activityctl serve --port 7070
    """
    import uvicorn

    from activityctl.api.app import build_app
    from activityctl.daemon.protection import forget_variables, protect_memory, secret_variables

    session: Session = context.obj
    asyncio.run(wiring.database_url(session.settings))  # report a wrong setting before the start
    _require_free(host, port)
    protect_memory()
    forget_variables(secret_variables(session.settings))
    uvicorn.run(build_app(session.settings), host=host, port=port, log_level="warning")


def _require_free(host: str, port: int) -> None:
    """Raise RefusedError if nothing can listen at this address."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise RefusedError(
            f"cannot listen at {host}:{port}: {reason_of(error)}",
            hint="choose another address with --host and --port; --port 0 takes any free port",
        ) from None
