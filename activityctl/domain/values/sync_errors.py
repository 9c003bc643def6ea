"""The stored texts of why a schedule is unsynced: Temporal refused it or did not answer."""

from typing import Final

_REFUSED: Final = "Temporal refused: "
_UNANSWERED: Final = "Temporal did not answer in time: "


def refused_text(reason: str) -> str:
    """Return the stored text of a refusal; another try would be refused too."""
    return _REFUSED + reason


def unanswered_text(reason: str) -> str:
    """Return the stored text for when Temporal was slow, busy or down; a new try may succeed."""
    return _UNANSWERED + reason


def is_refusal(text: str) -> bool:
    """Return whether a stored text is a refusal; only texts of `unanswered_text` are not."""
    return not text.startswith(_UNANSWERED)
