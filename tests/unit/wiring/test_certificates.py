"""The certificate of a server: what is wrong with its files is said, and a new one is used."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from activityctl.errors import UsageError
from activityctl.wiring import CertificateFiles, ServerCertificate
from support.certificates import make_certificate

Damage = Callable[[Path], tuple[Path, Path]]


def no_certificate(folder: Path) -> tuple[Path, Path]:
    _, key = make_certificate(folder)
    return folder / "absent.pem", key


def no_key(folder: Path) -> tuple[Path, Path]:
    certificate, _ = make_certificate(folder)
    return certificate, folder / "absent.key"


def a_folder(folder: Path) -> tuple[Path, Path]:
    return folder, make_certificate(folder)[1]


def a_public_key(folder: Path) -> tuple[Path, Path]:
    certificate, key = make_certificate(folder)
    key.chmod(0o644)
    return certificate, key


def a_foreign_key(folder: Path) -> tuple[Path, Path]:
    certificate, _ = make_certificate(folder)
    (folder / "other").mkdir()
    return certificate, make_certificate(folder / "other")[1]


def a_key_as_certificate(folder: Path) -> tuple[Path, Path]:
    _, key = make_certificate(folder)
    return key, key


def a_certificate_as_key(folder: Path) -> tuple[Path, Path]:
    certificate, _ = make_certificate(folder)
    certificate.chmod(0o600)
    return certificate, certificate


def a_locked_key(folder: Path) -> tuple[Path, Path]:
    return make_certificate(folder, encryption=BestAvailableEncryption(b"secret"))


def an_old_one(folder: Path) -> tuple[Path, Path]:
    return make_certificate(folder, days=-1)


def one_of_tomorrow(folder: Path) -> tuple[Path, Path]:
    return make_certificate(folder, since=timedelta(days=1))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_certificate, r"^the certificate .*absent\.pem: there is no such file or folder$"),
        (no_key, r"^the private key .*absent\.key: there is no such file or folder$"),
        (a_folder, r"^the certificate .*: it is a folder$"),
        (a_public_key, r"can be read or written by others: its mode is 0644$"),
        (a_foreign_key, r"^the private key .* does not fit .*api\.pem$"),
        (a_key_as_certificate, r"is no certificate in PEM form$"),
        (a_certificate_as_key, r"^the private key .* cannot be used together"),
        (a_locked_key, r"has a passphrase, which a server cannot be asked for$"),
        (an_old_one, r"has expired: it was valid until \d{4}-\d\d-\d\d \d\d:\d\d UTC$"),
        (one_of_tomorrow, r"is not valid before \d{4}"),
    ],
)
def test_what_is_wrong_with_the_files_is_said(tmp_path: Path, damage: Damage, said: str):
    certificate, key = damage(tmp_path)
    with pytest.raises(UsageError, match=said):
        ServerCertificate(CertificateFiles(certificate, key), datetime.now(UTC))


def test_a_group_may_read_the_key_and_one_file_may_have_both(tmp_path: Path):
    certificate, key = make_certificate(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    both.chmod(0o640)
    made = ServerCertificate(CertificateFiles(both, both), datetime.now(UTC))
    assert made.context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert made.valid_until > datetime.now(UTC) + timedelta(days=29)


def test_a_certificate_that_cannot_be_read_again_stays_in_use(tmp_path: Path):
    made = ServerCertificate(CertificateFiles(*make_certificate(tmp_path)), datetime.now(UTC))
    old = made.state(), made.valid_until
    make_certificate(tmp_path, days=-1)
    assert made.state() != old[0]
    with pytest.raises(UsageError, match="expired"):
        made.renew(datetime.now(UTC))
    assert made.valid_until == old[1]
    make_certificate(tmp_path, days=90)
    made.renew(datetime.now(UTC))
    assert made.valid_until > old[1]
