"""Verification: whether recorded workflow histories fit the installed workflow code."""

import re
from typing import Final

from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.frozen_dataclass import frozen_dataclass

_EVENT: Final = re.compile(r"HistoryEvent\(id: (\d+)")
_MESSAGE: Final = re.compile(r'message: "((?:[^"\\]|\\.)*)"')


@frozen_dataclass
class VerifiedHistory:
    """A history that was replayed, and where the code parts from it, if it does."""

    workflow_id: str
    runs: tuple[str, ...] = ()
    """The ids of the runs that the workflow carries."""
    source: str | None = None
    """The file that it was read from; None if it is the server's."""
    reason: str | None = None
    """Why the code cannot go on with it; None if it can."""
    event_id: int | None = None
    """The event at which they part; None if nobody knows."""
    event_type: str | None = None

    @property
    def fits(self) -> bool:
        """Whether the code can go on with the run."""
        return self.reason is None


def plain_reason(text: str) -> str:
    """Return the message in what the SDK says of a replay that failed."""
    found = _MESSAGE.search(text)
    return found[1] if found else text


def parting_event(reason: str, reached: int | None) -> int | None:
    """Return the id of the event at which the code parts from a history.

    The reason may name it; else it is the one after the last event that the code accepted.
    """
    if found := _EVENT.search(reason):
        return int(found[1])
    return None if reached is None else reached + 1


def verification_view(verified: list[VerifiedHistory], seconds: float) -> View:
    """Return the JSON view: how many fit, and each that does not."""
    parted = [history for history in verified if not history.fits]
    return {
        "apiVersion": API_VERSION,
        "kind": "Verification",
        "verified": len(verified),
        "parted": len(parted),
        "seconds": round(seconds, 3),
        "items": [
            {
                "workflowId": history.workflow_id,
                "runs": list(history.runs),
                "source": history.source,
                "eventId": history.event_id,
                "eventType": history.event_type,
                "reason": history.reason,
            }
            for history in parted
        ],
    }
