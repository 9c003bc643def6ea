"""Reads secrets from files, the way containers and systemd provide them."""

import os
import stat
from typing import Final

from activityctl.errors import InvalidInputError, reason_of
from activityctl.secret import Secret, SecretReference

LARGEST: Final = 64 * 1024


def read_file(reference: SecretReference) -> Secret:
    """Return the file's text without the line end; InvalidInputError when it cannot be read."""
    try:
        text = read_text(reference.name).rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise _unreadable(reference, file_reason_of(error)) from None
    if not text or "\0" in text:
        raise _unreadable(reference, "it is empty or contains a NUL")
    return Secret(text)


def file_reason_of(error: OSError | ValueError) -> str:
    """Return why `read_text` could not read a file."""
    return reason_of(error) if isinstance(error, OSError) else str(error)


def read_text(path: str) -> str:
    """Return the text of a regular file; OSError or ValueError, which does not quote it."""
    try:
        return _content(path).decode()
    except UnicodeDecodeError:
        raise ValueError("it is not valid UTF-8") from None


def _content(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a regular file")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(0, f"it is larger than {LARGEST // 1024} KiB")
    return content


def _unreadable(reference: SecretReference, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"{reference.setting} names {reference}, which cannot be used: {reason}",
        hint=f"fix {reference.name}",
    )
