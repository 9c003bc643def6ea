"""What a node means when it does not take a transaction."""

import re
from enum import Enum
from typing import Final


class BroadcastAnswer(Enum):
    """Why a node does not take a transaction."""

    KNOWN = "known"
    """It has it already."""
    NONCE_USED = "nonce used"
    """A transaction with this nonce is in a block: this one, or another."""
    UNDERPRICED = "underpriced"
    """Its fees are too low for now, or for a replacement."""
    NO_FUNDS = "no funds"
    """The relayer cannot pay for it."""
    REFUSED = "refused"
    """Anything else."""


_UNDERPRICED: Final = (
    r"underpriced|fee (?:is )?too low|less than (?:the )?(?:block )?base ?fee|gas price too low"
    r"|below (?:the )?minimum|not enough to replace|feetoolow"
)
_PATTERNS: Final = (
    (BroadcastAnswer.KNOWN, r"already (?:known|imported|exists|in)|known transaction|duplicate"),
    (BroadcastAnswer.NONCE_USED, r"nonce (?:is )?too low|nonce has already|old ?nonce"),
    (BroadcastAnswer.UNDERPRICED, _UNDERPRICED),
    (BroadcastAnswer.NO_FUNDS, r"insufficient ?(?:funds|balance)|doesn't have enough funds"),
)


def meaning_of(message: str) -> BroadcastAnswer:
    """Return what the message of a node means."""
    text = message.lower()
    for answer, pattern in _PATTERNS:
        if re.search(pattern, text):
            return answer
    return BroadcastAnswer.REFUSED
