"""The certificate of a server of ours: read from files, checked, and read again once renewed."""

import os
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from activityctl.errors import UsageError, reason_of
from activityctl.frozen_dataclass import frozen_dataclass

_LARGEST: Final = 1024 * 1024
_FORBIDDEN: Final = stat.S_IRWXO | stat.S_IWGRP
"""What a key file may not allow; a group may read it, as system services have it."""


@frozen_dataclass
class CertificateFiles:
    """The two PEM files, which may be one."""

    certificate: Path
    key: Path

    def state(self) -> tuple[object, ...]:
        """Return what changes when one of the files is replaced or written."""
        return tuple(_state(path) for path in (self.certificate, self.key))


class ServerCertificate:
    """What a server shows to its clients. A renewed certificate is used by new connections."""

    def __init__(self, files: CertificateFiles, now: datetime) -> None:
        """Raises UsageError for files that cannot be used, and for an expired certificate."""
        self._files = files
        self._chosen, self.valid_until = _loaded(files, now)
        self.context: Final = _context(files)
        """For servers: each handshake is given the newest certificate."""
        self.context.sni_callback = self._choose

    def state(self) -> tuple[object, ...]:
        """Return what changes when one of the files does."""
        return self._files.state()

    def renew(self, now: datetime) -> None:
        """Read the files again. Raises UsageError, and keeps the certificate, if that fails."""
        self._chosen, self.valid_until = _loaded(self._files, now)

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _own: ssl.SSLContext) -> None:
        handshake.context = self._chosen


def _loaded(files: CertificateFiles, now: datetime) -> tuple[ssl.SSLContext, datetime]:
    """Return the context, and until when its certificate is valid."""
    valid_until = _check_certificate(files, now)
    _check_key(files)
    return _context(files), valid_until


def _check_certificate(files: CertificateFiles, now: datetime) -> datetime:
    from cryptography import x509

    label = f"the certificate {files.certificate}"
    try:
        with files.certificate.open("rb") as file:
            first = x509.load_pem_x509_certificates(file.read(_LARGEST))[0]
    except OSError as error:
        raise UsageError(
            f"{label}: {reason_of(error)}", hint="name a file that this user can read"
        ) from None
    except ValueError:
        raise UsageError(
            f"{label} is no certificate in PEM form",
            hint="it begins with -----BEGIN CERTIFICATE-----; the own certificate is the first",
        ) from None
    if now >= first.not_valid_after_utc:
        raise UsageError(
            f"{label} has expired: it was valid until {_day(first.not_valid_after_utc)}",
            hint="renew it, then start again",
        )
    if now < first.not_valid_before_utc:
        raise UsageError(
            f"{label} is not valid before {_day(first.not_valid_before_utc)}",
            hint="check the clock of this machine, and the file",
        )
    return first.not_valid_after_utc


def _check_key(files: CertificateFiles) -> None:
    label = f"the private key {files.key}"
    try:
        with files.key.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise UsageError(
            f"{label}: {reason_of(error)}", hint="name a file that this user can read"
        ) from None
    if mode & _FORBIDDEN:
        raise UsageError(
            f"{label} can be read or written by others: its mode is {stat.S_IMODE(mode):04o}",
            hint=f"chmod 600 {files.key}",
        )


def _context(files: CertificateFiles) -> ssl.SSLContext:
    label = f"the private key {files.key}"

    def refuse() -> NoReturn:
        raise UsageError(
            f"{label} has a passphrase, which a server cannot be asked for",
            hint=f"openssl pkey -in {files.key} -out NEW_FILE removes it",
        )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(
                f"{label} does not fit {files.certificate}",
                hint="name the key that the certificate was made for",
            ) from None
        raise UsageError(
            f"{label} and its certificate cannot be used together: {error.reason}",
            hint="both are PEM files; the key begins with -----BEGIN PRIVATE KEY-----",
        ) from None
    except OSError as error:
        raise UsageError(f"{label}: {reason_of(error)}") from None
    return context


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
