"""Ports for secrets: reading a value by its name, at the moment of a call."""

from collections.abc import Callable
from dataclasses import field
from typing import Protocol

from activityctl.domain.values.secret_ref import SecretRef
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class FoundSecret:
    """A secret with its value; it is never stored and never printed."""

    value: str = field(repr=False)
    store: str
    """Where it is kept, for people: `keyring`, `encrypted file`, `environment`, …"""
    hosts: tuple[str, ...] = ()
    """The hosts that it may be sent to; empty for any."""


class SecretReader(Protocol):
    """Reads secrets on this machine; each call reads again, so a changed value is used at once."""

    async def read(self, name: str) -> FoundSecret:
        """Return the secret.

        Raises NotFoundError if there is none with this name here, with the command that sets it
        as the hint. Raises UnreachableError if its store is locked or does not answer, and
        InvalidInputError if what is stored cannot be used.
        """
        ...


Destination = str | Callable[[str], str | None] | None


class ResolveSecret(Protocol):
    """How an executor and a context source get the value of a `SecretText`."""

    async def __call__(self, value: str | SecretRef, *, host: Destination) -> str:
        """Return the text, or the value of the secret, which is masked in all that is stored.

        `host` is the host, or `host:port`, that the value is about to be sent to; a function that
        finds it in the value, if that is the URL of a connection (`connection_host`); None if it
        goes to no host, as into the environment of a program. Ask again for each other host,
        such as that of a next page. Raises TaskError if there is no such secret, if it is bound
        to other hosts, or if its store does not answer.
        """
        ...
