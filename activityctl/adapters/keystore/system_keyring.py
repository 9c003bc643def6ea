"""Reads secrets from the system's key store; nothing is written here."""

import asyncio
import threading
from contextlib import suppress
from typing import Final

import keyring
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.backends.chainer import ChainerBackend

from activityctl.errors import ActivityctlError, InvalidInputError, UnreachableError
from activityctl.secret import Secret, SecretReference

ANSWER_SECONDS: Final = 5.0
_PLAIN_TEXT: Final = frozenset(
    {"keyrings.alt.file.PlaintextKeyring", "keyrings.alt.pyfs.PlaintextKeyring"}
)
_OTHERWISE: Final = "or name the secret as env:NAME or file:/PATH"


async def read_keyring(reference: SecretReference) -> Secret:
    """Return the entry's secret within ANSWER_SECONDS.

    InvalidInputError when there is no such entry; UnreachableError when there is no key
    store, it keeps plain text, is locked or does not answer.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Secret | ActivityctlError] = loop.create_future()

    def deliver(found: Secret | ActivityctlError) -> None:
        if not answer.done():
            answer.set_result(found)

    def work() -> None:
        found = _attempted(reference)
        with suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, found)

    # A daemon thread: one that waits for a dialogue of the desktop must not hold up the exit.
    threading.Thread(target=work, daemon=True, name="keyring").start()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            found = await answer
    except TimeoutError:
        found = UnreachableError(
            f"the key store did not answer within {ANSWER_SECONDS:.0f} s ({reference})",
            hint=f"unlock it, {_OTHERWISE}",
        )
    if isinstance(found, ActivityctlError):
        raise found
    return found


def _attempted(reference: SecretReference) -> Secret | ActivityctlError:
    try:
        backend = keyring.get_keyring()
        if (refusal := _refusal(backend)) is not None:
            return refusal
        service, _, entry = reference.name.partition("/")
        value = backend.get_password(service, entry)
    except Exception as error:  # noqa: BLE001  # backends are foreign code with errors of their own
        return UnreachableError(
            f"the key store cannot be read ({reference}): {type(error).__name__}: {error}",
            hint=f"unlock it and see `keyring diagnose`, {_OTHERWISE}",
        )
    if not value:
        return InvalidInputError(
            f"{_name(backend)} has no entry for {reference.setting}: {reference}",
            hint=f"keyring set {service} {entry}",
        )
    return Secret(value)


def _refusal(backend: KeyringBackend) -> UnreachableError | None:
    """Return why this backend is not to be used; None when it may be."""
    chained = list(backend.backends) if isinstance(backend, ChainerBackend) else [backend]
    if all(isinstance(one, fail.Keyring | null.Keyring) for one in chained):
        return UnreachableError(
            f"this system has no key store ({_name(backend)})",
            hint=f"install one that `keyring --list-backends` lists, {_OTHERWISE}",
        )
    for one in chained:
        if _name(one) in _PLAIN_TEXT:
            return UnreachableError(
                f"{_name(one)} keeps secrets in plain text and is not read",
                hint=f"choose another with `keyring diagnose`, {_OTHERWISE}",
            )
    return None


def _name(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"
