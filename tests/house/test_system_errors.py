"""Errors of the operating system are told in one way: errors.reason_of, after a colon."""

import errno
import os
import socket
import ssl
from pathlib import Path

import pytest

from activityctl.errors import reason_of

PACKAGE = Path(__file__).parents[2] / "activityctl"
ALLOWED = {"errors.py": "reason_of itself", "executors/process.py": "makes an error of a number"}


def test_only_one_function_puts_the_words_of_the_system_into_messages():
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "strerror" in path.read_text("utf-8")
    }
    assert found == set(ALLOWED)


def test_each_reason_is_told_without_its_number_and_its_file():
    for number in errno.errorcode:
        reason = reason_of(OSError(number, os.strerror(number), "/a/File"))
        assert reason == reason.lower()
        assert "errno" not in reason
        assert "/a/" not in reason
    assert reason_of(FileNotFoundError(errno.ENOENT, "No such file")) == (
        "there is no such file or folder"
    )


def test_the_words_are_those_of_the_system_also_if_the_error_has_others():
    told = reason_of(OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.1', 443)"))
    assert told == "no route to host"


def test_numbers_of_other_modules_are_not_taken_for_those_of_the_system():
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            server.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(ssl.SSLError) as caught:
                ssl.create_default_context().wrap_socket(client, server_hostname="localhost")
    assert caught.value.errno == errno.EPERM
    assert reason_of(caught.value) in {
        "TLS failed: wrong version number",
        "TLS failed: packet length too long",
        "TLS failed: record layer failure",
    }
    untrusted = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] …")
    untrusted.verify_message = "self-signed certificate"
    assert reason_of(untrusted) == "its certificate is not valid: self-signed certificate"
    unknown = socket.gaierror(errno.ENOENT, "Name or service not known")
    assert reason_of(unknown) == "name or service not known"
