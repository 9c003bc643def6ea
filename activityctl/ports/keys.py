"""Ports for keys: reading one by its name, at the moment it signs."""

from typing import Protocol

from activityctl.domain.chain.keys import HeldKey, KeyKind


class KeyReader(Protocol):
    """Reads keys on this machine; each call reads again, so a rotation counts at once."""

    async def read(self, name: str, kind: KeyKind) -> HeldKey:
        """Return the key with its secrets.

        Raises NotFoundError if there is none with this name here, ConflictError if it is of
        another kind, UnreachableError if its store is locked or does not answer, and
        InvalidInputError if what is stored cannot be used.
        """
        ...
