"""Port for what people do with dead letters; lists of them are in RunLists."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from activityctl.domain.runs.dead_letter import LetterAction, LetterOutcome, LetterRequest


class DeadLetters(Protocol):
    """Dead letters and what was done with them; every method is one transaction.

    An action is only added to a letter that is open, so that of two commands at once one acts.
    """

    async def retry(
        self, letter_ids: Sequence[str], request: LetterRequest, now: datetime
    ) -> list[LetterOutcome]:
        """Store the firing of a new run for each open letter; return one outcome for each."""
        ...

    async def discard(
        self, letter_ids: Sequence[str], request: LetterRequest, now: datetime
    ) -> list[LetterOutcome]:
        """Close each open letter; return one outcome for each."""
        ...

    async def actions(self, letter_id: str) -> list[LetterAction]:
        """Return what was done with the letter, oldest first."""
        ...
