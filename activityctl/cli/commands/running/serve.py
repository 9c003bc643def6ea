"""`activityctl serve`: serve the HTTP API."""

import asyncio
import socket
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.few_collections import no_collections
from activityctl.cli.options import LogFormat, log_format_of
from activityctl.cli.session import Session
from activityctl.errors import RefusedError, UsageError, reason_of
from activityctl.setting_values import networks
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
    certificate: Annotated[
        Path | None,
        typer.Option(help="Speak TLS, with this certificate in PEM form.", metavar="FILE"),
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option(help="The key of the certificate.", metavar="FILE")
    ] = None,
    behind_proxy: Annotated[
        list[str],
        typer.Option(
            help="A proxy that is believed who the client is: its address, or a network as CIDR. "
            "Repeatable.",
            metavar="ADDRESS",
        ),
    ] = [],  # noqa: B006  # typer copies it
    log_format: LogFormat = None,
) -> None:
    """Serve the HTTP API: events and web hooks, objects, runs and logs, health and metrics.

    A renewed certificate is used without a restart, at once after SIGHUP.

    activityctl serve --port 7070

    activityctl serve --host 10.0.0.5 --allowed-host automations.example --certificate api.pem
    --private-key api.key

    activityctl serve --allowed-host automations.example --behind-proxy 127.0.0.1
    """
    with no_collections():
        from activityctl.api.app import ApiOptions
        from activityctl.api.server import serve_on
        from activityctl.daemon.local.machine_checks import disk_view
        from activityctl.daemon.log import configure_logging
        from activityctl.daemon.protection import forget_variables, protect_memory, secret_variables
        from activityctl.daemon.signals import ending_on_sigterm
        from activityctl.settings import known_secrets

    session: Session = context.obj
    settings = _with_options(session.settings, certificate, private_key, behind_proxy)
    own_certificate = _certificate(settings)
    options = ApiOptions(
        (host, *allowed_host),
        rate,
        2 * rate,
        settings.trusted_proxies,
        partial(disk_view, settings.home) if settings.uses_local_daemon else None,
    )
    with ending_on_sigterm("server"):
        asyncio.run(_check(settings))
        listener = _listener(host, port)
        configure_logging(known_secrets(session.flags), log_format_of(session, log_format))
        if settings.uses_local_daemon:
            wiring.make_local_token(settings.home)
        protect_memory()
        forget_variables(secret_variables(settings))
        own, number = listener.getsockname()[:2]
        scheme = "http" if own_certificate is None else "https"
        session.err.print(f"listening at {scheme}://{f'[{own}]' if ':' in own else own}:{number}")
        serve_on(listener, settings, options, own_certificate)


def _with_options(
    settings: Settings, certificate: Path | None, key: Path | None, proxies: list[str]
) -> Settings:
    """Return the settings, with the options in place of those that they set."""
    return replace(
        settings,
        api_certificate=certificate or settings.api_certificate,
        api_private_key=key or settings.api_private_key,
        trusted_proxies=networks("--behind-proxy", {"--behind-proxy": (proxies, "flag")})
        if proxies
        else settings.trusted_proxies,
    )


def _certificate(settings: Settings) -> wiring.ServerCertificate | None:
    """Return the certificate of the settings; UsageError if it cannot be used."""
    certificate, key = settings.api_certificate, settings.api_private_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "--private-key" if key is None else "--certificate"
        raise UsageError(
            "TLS needs a certificate and its key",
            hint=f"add {missing} FILE; one file with both can be named twice",
        )
    return wiring.ServerCertificate(wiring.CertificateFiles(certificate, key), datetime.now(UTC))


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
