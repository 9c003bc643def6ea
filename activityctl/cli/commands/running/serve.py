"""`activityctl serve`: serve the HTTP API."""

import asyncio
import socket
from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.options import LogFormat, log_format_of
from activityctl.cli.session import Session
from activityctl.errors import RefusedError, reason_of
from activityctl.settings import Settings


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="The address to listen on.", metavar="ADDRESS")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The port to listen on; 0 for any free port.")
    ] = 7070,
    allowed_host: Annotated[
        list[str],
        typer.Option(
            help="A name under which clients reach the server, beside localhost. Repeatable.",
            metavar="NAME",
        ),
    ] = [],  # noqa: B006  # typer copies it
    rate: Annotated[
        int,
        typer.Option(
            min=1, max=1_000_000, help="Requests a second of each token, and of each address."
        ),
    ] = 500,
    log_format: LogFormat = None,
) -> None:
    """Serve the HTTP API: events and web hooks, objects, runs and logs, health and metrics.

    activityctl serve --port 7070

    activityctl serve --host 10.0.0.5 --allowed-host automations.example
    """
    from activityctl.api.app import ApiOptions
    from activityctl.api.server import serve_on
    from activityctl.daemon.log import configure_logging
    from activityctl.daemon.protection import forget_variables, protect_memory, secret_variables
    from activityctl.settings import known_secrets

    session: Session = context.obj
    settings = session.settings
    asyncio.run(_check(settings))
    listener = _listener(host, port)
    configure_logging(known_secrets(session.flags), log_format_of(session, log_format))
    if settings.uses_local_daemon:
        wiring.make_local_token(settings.home)
    protect_memory()
    forget_variables(secret_variables(settings))
    own, number = listener.getsockname()[:2]
    session.err.print(f"listening at http://{f'[{own}]' if ':' in own else own}:{number}")
    options = ApiOptions(hosts=(host, *allowed_host), rate=rate, burst=2 * rate)
    serve_on(listener, settings, options)


async def _check(settings: Settings) -> None:
    """Report a wrong setting before the start."""
    await wiring.database_url(settings)
    async with wiring.open_token_verifier(settings):
        pass


def _listener(host: str, port: int) -> socket.socket:
    """Listen at this address; RefusedError if nothing can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2_048)
    except OSError as error:
        raise RefusedError(
            f"cannot listen at {host}:{port}: {reason_of(error)}",
            hint="choose another address with --host and --port; --port 0 takes any free port",
        ) from None
