"""Why a run is stuck, as far as its reason tells, and what an operator can do."""

from typing import Final

ENCRYPTED: Final = "what Temporal has is encrypted with the key"
"""How a reason begins when the worker lacks the key of the payloads."""
CHANGED: Final = "a payload of Temporal was changed after it was encrypted"
"""The reason when a payload does not fit its key."""
EVENTS_LOST: Final = "Temporal has lost the last events of a workflow that a worker remembers"
"""The reason when Temporal lost its last seconds while a worker lived."""
_NEW_WORKFLOW: Final = "when none of its tasks is at work, a new workflow goes on with it"


def cause_of(reason: str) -> str:
    """Return what the worker cannot do, as a clause."""
    if ENCRYPTED in reason or CHANGED in reason:
        return "the worker cannot read what Temporal has of the workflow"
    if EVENTS_LOST in reason:
        return "Temporal has not all of its workflow"
    return "this version cannot go on with the workflow"


def advice_on(reason: str, count: int = 1) -> str:
    """Return what to do about so many stuck runs, as the end of a sentence."""
    it = "it" if count == 1 else "them"
    if ENCRYPTED in reason:
        return "give this key to every worker"
    if CHANGED in reason:
        return "find out who changes what Temporal stores"
    if EVENTS_LOST in reason:
        return f"wait some minutes: a new workflow goes on with {it}"
    return f"run a worker of the version that began {it}"


def outlook_of(reason: str) -> str:
    """Return how the run comes to go on, as a sentence."""
    if EVENTS_LOST in reason:
        return f"{_sentence(_NEW_WORKFLOW)}."
    return f"{_sentence(advice_on(reason))}, or wait: {_NEW_WORKFLOW}."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
