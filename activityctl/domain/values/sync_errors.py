"""Refusal: why Temporal does not hold a schedule as wanted; a no is told apart from no answer."""

from typing import Final

_REFUSED: Final = "Temporal refused: "
_UNANSWERED: Final = "Temporal did not answer in time: "


def refused_text(reason: str) -> str:
    """Return the text that is kept of a no: another try will be told the same."""
    return _REFUSED + reason


def unanswered_text(reason: str) -> str:
    """Return the text that is kept when Temporal was slow, busy or away: another try may do."""
    return _UNANSWERED + reason


def is_refusal(kept: str) -> bool:
    """Tell a no, or a text that nobody here wrote, from no answer."""
    return not kept.startswith(_UNANSWERED)
