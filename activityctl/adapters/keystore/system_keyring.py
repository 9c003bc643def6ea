"""Reads and writes entries of the system's key store; none that keeps plain text is used."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

import keyring
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.backends.chainer import ChainerBackend

from activityctl.errors import ActivityctlError, InvalidInputError, UnreachableError
from activityctl.secret import Secret, SecretReference

_Answer = TypeVar("_Answer")

ANSWER_SECONDS: Final = 5.0
_PLAIN_TEXT: Final = frozenset(
    {"keyrings.alt.file.PlaintextKeyring", "keyrings.alt.pyfs.PlaintextKeyring"}
)
_ABSENT: Final = "this system has no key store"
_OTHERWISE: Final = "or name the secret as env:NAME or file:/PATH"


async def read_keyring(reference: SecretReference) -> Secret:
    """Return the secret of a key store entry within ANSWER_SECONDS.

    Raises InvalidInputError when there is no such entry. Raises UnreachableError when there is no
    key store, or when it stores plain text, is locked or does not answer.
    """
    service, _, entry = reference.name.partition("/")
    value, name = await _answer(
        lambda backend: (backend.get_password(service, entry), _name(backend)), str(reference)
    )
    if not value:
        raise InvalidInputError(
            f"{name} has no entry for {reference.setting}: {reference}",
            hint=f"keyring set {service} {entry}",
        )
    return Secret(value)


async def read_entry(service: str, entry: str) -> str | None:
    """Return the text of an entry; None if there is none. Raises UnreachableError."""
    return await _answer(lambda backend: backend.get_password(service, entry), _of(entry))


async def write_entry(service: str, entry: str, text: str) -> str:
    """Write an entry and read it back; return the name of the key store.

    Raises UnreachableError, also if the store has not kept what was written.
    """

    def write(backend: KeyringBackend) -> tuple[bool, str]:
        backend.set_password(service, entry, text)
        return backend.get_password(service, entry) == text, _name(backend)

    is_kept, name = await _answer(write, _of(entry))
    if not is_kept:
        raise UnreachableError(
            f"the key store {name} has not kept what was written ({_of(entry)})",
            hint="keep it in the encrypted file: --store file",
        )
    return name


async def remove_entry(service: str, entry: str) -> None:
    """Remove an entry; do nothing if there is none. Raises UnreachableError."""

    def remove(backend: KeyringBackend) -> None:
        if backend.get_password(service, entry) is not None:
            backend.delete_password(service, entry)

    await _answer(remove, _of(entry))


async def store_name() -> str:
    """Return the name of the key store of this system; UnreachableError if none can be used."""
    return await _answer(_name, "its name")


def is_absent(error: UnreachableError) -> bool:
    """Return whether the error says that this system has no key store at all."""
    return error.message.startswith(_ABSENT)


def _of(entry: str) -> str:
    return f"secret {entry}"


async def _answer(work: Callable[[KeyringBackend], _Answer], about: str) -> _Answer:
    """Let the key store work, for at most ANSWER_SECONDS."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_Answer] = loop.create_future()

    def deliver(result: _Answer | ActivityctlError) -> None:
        if answer.done():
            return
        if isinstance(result, ActivityctlError):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    def run() -> None:
        result = _work(work, about)
        with suppress(RuntimeError):  # the loop is closed: nothing waits for the answer
            loop.call_soon_threadsafe(deliver, result)

    # A daemon thread: if it waits for a dialogue of the desktop, the program can still exit.
    threading.Thread(target=run, daemon=True, name="keyring").start()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await answer
    except TimeoutError:
        raise UnreachableError(
            f"the key store did not answer within {ANSWER_SECONDS:.0f} s ({about})",
            hint=f"unlock it, {_OTHERWISE}",
        ) from None


def _work(work: Callable[[KeyringBackend], _Answer], about: str) -> _Answer | ActivityctlError:
    try:
        backend = keyring.get_keyring()
        return _backend_error(backend) or work(backend)
    except Exception as failure:  # noqa: BLE001  # backends raise errors of their own
        return UnreachableError(
            f"the key store cannot be read ({about}): {type(failure).__name__}: {failure}",
            hint=f"unlock it and run `keyring diagnose`, {_OTHERWISE}",
        )


def _backend_error(backend: KeyringBackend) -> UnreachableError | None:
    """Return why this backend is not used, as an error; None when it may be used."""
    chained = list(backend.backends) if isinstance(backend, ChainerBackend) else [backend]
    if all(isinstance(part, fail.Keyring | null.Keyring) for part in chained):
        return UnreachableError(
            f"{_ABSENT} ({_name(backend)})",
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
