"""Reads secrets from the system's key store; writes nothing."""

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
    """Return the secret of a key store entry within ANSWER_SECONDS.

    Raises InvalidInputError when there is no such entry. Raises UnreachableError when there is no
    key store, or when it stores plain text, is locked or does not answer.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Secret | ActivityctlError] = loop.create_future()

    def deliver(result: Secret | ActivityctlError) -> None:
        if not answer.done():
            answer.set_result(result)

    def work() -> None:
        result = _read(reference)
        with suppress(RuntimeError):  # the loop is closed: nothing waits for the answer
            loop.call_soon_threadsafe(deliver, result)

    # A daemon thread: if it waits for a dialogue of the desktop, the program can still exit.
    threading.Thread(target=work, daemon=True, name="keyring").start()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            result = await answer
    except TimeoutError:
        result = UnreachableError(
            f"the key store did not answer within {ANSWER_SECONDS:.0f} s ({reference})",
            hint=f"unlock it, {_OTHERWISE}",
        )
    if isinstance(result, ActivityctlError):
        raise result
    return result


def _read(reference: SecretReference) -> Secret | ActivityctlError:
    try:
        backend = keyring.get_keyring()
        if (error := _backend_error(backend)) is not None:
            return error
        service, _, entry = reference.name.partition("/")
        value = backend.get_password(service, entry)
    except Exception as failure:  # noqa: BLE001  # backends raise errors of their own
        return UnreachableError(
            f"the key store cannot be read ({reference}): {type(failure).__name__}: {failure}",
            hint=f"unlock it and run `keyring diagnose`, {_OTHERWISE}",
        )
    if not value:
        return InvalidInputError(
            f"{_name(backend)} has no entry for {reference.setting}: {reference}",
            hint=f"keyring set {service} {entry}",
        )
    return Secret(value)


def _backend_error(backend: KeyringBackend) -> UnreachableError | None:
    """Return why this backend is not used, as an error; None when it may be used."""
    chained = list(backend.backends) if isinstance(backend, ChainerBackend) else [backend]
    if all(isinstance(part, fail.Keyring | null.Keyring) for part in chained):
        return UnreachableError(
            f"this system has no key store ({_name(backend)})",
            hint=f"install one that `keyring --list-backends` lists, {_OTHERWISE}",
        )
    for part in chained:
        if _name(part) in _PLAIN_TEXT:
            return UnreachableError(
                f"the key store {_name(part)} stores secrets as plain text and is not used",
                hint=f"choose another one (see `keyring diagnose`), {_OTHERWISE}",
            )
    return None


def _name(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"
