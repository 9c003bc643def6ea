"""`activityctl signer`: run the process that signs for the workers."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from activityctl import wiring
from activityctl.cli.options import LogFormat, log_format_of
from activityctl.cli.session import Session
from activityctl.daemon.log import configure_logging
from activityctl.errors import UsageError
from activityctl.settings import Settings, known_secrets

if TYPE_CHECKING:
    from activityctl.daemon.signer.server import TlsPort


def signer(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(help="Listen for workers of other machines, with TLS.", metavar="HOST:PORT"),
    ] = None,
    certificate: Annotated[
        str | None, typer.Option(help="The certificate for --listen.", metavar="FILE")
    ] = None,
    private_key: Annotated[
        str | None, typer.Option(help="The key of the certificate.", metavar="FILE")
    ] = None,
    log_format: LogFormat = None,
) -> None:
    """Run a signer until SIGTERM or Ctrl-C: it alone opens the keys of accounts.

    It checks each call by the policy in Postgres. Without --listen, workers of this home reach it
    by a socket; the local daemon starts one by itself when this home has a key of an account.
    With --listen, workers need the certificate and the token that signer_token_ref names.

    activityctl signer

    activityctl --profile prod signer --listen 0.0.0.0:7300 --certificate signer.pem
    --private-key signer.key
    """
    from activityctl.daemon.protection import forget_variables, protect_memory, secret_variables
    from activityctl.daemon.signer.signer import run_signer

    session: Session = context.obj
    settings = session.settings
    port = None if listen is None else _port(settings, listen, certificate, private_key)
    configure_logging(known_secrets(session.flags), log_format_of(session, log_format))
    protect_memory()
    forget_variables(secret_variables(settings))
    asyncio.run(run_signer(settings, port=port))


def _port(settings: Settings, listen: str, certificate: str | None, key: str | None) -> "TlsPort":
    from activityctl.daemon.signer.server import TlsPort

    if certificate is None or key is None:
        raise UsageError(
            "--listen needs a certificate", hint="add --certificate FILE and --private-key FILE"
        )
    host, number = wiring.split_address(listen)
    token = asyncio.run(wiring.signer_token(settings))
    context = wiring.server_context(certificate, key, datetime.now(UTC))
    return TlsPort(host, number, token, context)
