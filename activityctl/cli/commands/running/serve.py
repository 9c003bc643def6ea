"""`activityctl serve`: serve the HTTP API."""

from typing import Annotated

import typer

from activityctl.cli.session import Session


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
    protect_memory()
    forget_variables(secret_variables(session.settings))
    uvicorn.run(build_app(session.settings), host=host, port=port, log_level="warning")
