"""Opens the signer: in its own process, and from the worker over its socket."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from activityctl.errors import UsageError, reason_of
from activityctl.ports import Signer
from activityctl.settings import Settings
from activityctl.wiring.ports import Ports
from activityctl.wiring.secrets import open_keys
from activityctl.wiring.servers import read_secret

if TYPE_CHECKING:
    import ssl
    from datetime import datetime

_SHORTEST_TOKEN: Final = 32


def open_local_signer(
    settings: Settings, ports: Ports, *, on_read: Callable[[str], None] = lambda _: None
) -> Signer:
    """Return what signs with the keys of this machine; only the signer's process has it."""
    from activityctl.adapters.keystore.local_signer import LocalSigner

    return LocalSigner(open_keys(settings, on_read=on_read), ports.signing)


def open_signer(settings: Settings, *, patience: float = 0.0) -> Signer:
    """Return what asks the signer of this home, or the one that the settings name.

    With `patience`, a signer that does not run is waited for so many seconds, and the local daemon
    is made to start one.
    """
    from activityctl.adapters.signer.place import mark_path
    from activityctl.adapters.signer.remote_signer import RemoteSigner, SignerPlace

    if settings.signer_address is None:
        mark = mark_path(settings.home) if patience and settings.uses_local_daemon else None
        return RemoteSigner(SignerPlace(signer_socket(settings), patience=patience, mark=mark))
    host, port = split_address(settings.signer_address)

    async def token() -> str:
        return await signer_token(settings)

    tls = client_context(settings.signer_certificate)
    return RemoteSigner(SignerPlace(None, host, port, token, tls, patience))


async def signer_token(settings: Settings) -> str:
    """Return the token of a signer that listens on a port. Raises UsageError if there is none."""
    if settings.signer_token_ref is None:
        raise UsageError(
            "signer_token_ref is not set", hint="name where its token is: file:/path/of/token"
        )
    token = (await read_secret(settings.signer_token_ref)).value.strip()
    if len(token) < _SHORTEST_TOKEN:
        raise UsageError(
            f"the token of the signer has less than {_SHORTEST_TOKEN} characters",
            hint="openssl rand -hex 32",
        )
    return token


def split_address(text: str) -> tuple[str, int]:
    """Return host and port. Raises UsageError for what is no address."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit():
        raise UsageError(f"{text} is not an address of a signer", hint="write HOST:PORT")
    return host.strip("[]"), int(port)


def client_context(certificate: str | None) -> "ssl.SSLContext":
    """Return how a worker checks the certificate of a signer."""
    import ssl

    try:
        return ssl.create_default_context(cafile=certificate)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"signer_certificate {certificate}: {reason_of(error)}") from error


def server_context(certificate: str, key: str, now: "datetime") -> "ssl.SSLContext":
    """Return how a signer proves who it is. Raises UsageError for files that cannot be used."""
    from activityctl.wiring.certificates import CertificateFiles, ServerCertificate

    return ServerCertificate(CertificateFiles(Path(certificate), Path(key)), now).context


def signer_socket(settings: Settings) -> Path:
    """Return the path of the socket of this home's signer."""
    from activityctl.adapters.signer.place import socket_path

    return socket_path(settings.home)


def needs_signer(settings: Settings) -> bool:
    """Return whether this home has something to sign with, and no other signer is named."""
    from activityctl.adapters.signer.place import is_needed

    return settings.signer_address is None and is_needed(settings.home)
