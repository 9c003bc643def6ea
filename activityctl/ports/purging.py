"""The port that removes a text from everything that is stored."""

from collections.abc import Sequence
from typing import Protocol

from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Occurrence:
    """In how many rows of one column the text is."""

    table: str
    column: str
    rows: int
    is_key: bool
    """Whether the column holds names, keys or ids. Those are not replaced."""


class Purge(Protocol):
    """Finds a text in all rows and replaces it, also in those that are otherwise never changed."""

    async def find(self, texts: Sequence[str]) -> list[Occurrence]:
        """Return where any of the texts is."""
        ...

    async def replace(self, texts: Sequence[str]) -> list[Occurrence]:
        """Replace the texts by `***` in one transaction, except in keys.

        Return where they were. Give the longest text first.
        """
        ...
