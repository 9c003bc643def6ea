"""`activityctl serve`."""

from typing import Annotated

import typer

from activityctl.cli.session import Session


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 7070,
) -> None:
    """Serve the HTTP API: /healthz and /readyz.

    activityctl serve --port 7070
    """
    import uvicorn

    from activityctl.api.app import build_app

    session: Session = context.obj
    uvicorn.run(build_app(session.settings), host=host, port=port, log_level="warning")
