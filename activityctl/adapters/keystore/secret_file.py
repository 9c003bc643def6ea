"""Reads secrets from files, as containers and systemd hand them over."""

import os
import stat
from typing import Final

from activityctl.errors import InvalidInputError
from activityctl.secret import Secret, SecretReference

LARGEST: Final = 64 * 1024


def read_file(reference: SecretReference) -> Secret:
    """Return the file's text without the line end; InvalidInputError when it cannot be had."""
    try:
        text = _content(reference.name).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise _unread(reference, why or "it cannot be read") from None
    if not text or "\0" in text:
        raise _unread(reference, "it holds no secret")
    return Secret(text)


def _content(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is no regular file")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(0, f"it is larger than {LARGEST // 1024} KiB")
    return content


def _unread(reference: SecretReference, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"{reference.setting} names {reference}, but {why}", hint=f"mend {reference.name}"
    )
