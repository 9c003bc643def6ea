"""What Temporal's page says of runs: names beside the ids, how they ended, and what tells more.

Only names, times, ids and states: a reason of a run may quote secret data, so it stays in Postgres.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.timing.firing import FiringRef, firing_key


_SUBSCRIPTION: Final = SearchAttributeKey.for_keyword_list("ActivityctlSubscription")
_DEFINITION: Final = SearchAttributeKey.for_keyword_list("ActivityctlDefinition")
ATTRIBUTES: Final = (_SUBSCRIPTION, _DEFINITION)
"""What Temporal's page can be searched by. Lists, because runs may share a workflow."""


class Carried(Protocol):
    """A run that a workflow carries."""

    has_ended: bool
    ended_as: str | None


def describing(run_id: str) -> str:
    """Return the command that tells everything about the run."""
    return f"activityctl describe run {run_id}"


def summary(firings: Sequence[FiringRef]) -> str | None:
    """Return one line about the runs of a workflow; None if their names are not known yet."""
    names = sorted({firing.subscription for firing in firings})
    if "" in names:
        return None
    if len(firings) == 1:
        return f"{names[0]}: {_cause(firings[0])}"
    whose = names[0] if len(names) == 1 else f"{len(names)} subscriptions"
    return f"{len(firings)} runs of {whose}"


def memo(firings: Sequence[FiringRef]) -> Mapping[str, str | list[str]] | None:
    """Return names, and the command for each run; None if the names are not known yet."""
    if not all(firing.subscription for firing in firings):
        return None
    commands = [describing(firing.run_id) for firing in firings]
    return {
        "subscription": _one_or_more([firing.subscription for firing in firings]),
        "definition": _one_or_more([firing.definition for firing in firings]),
        "describe": commands[0] if len(commands) == 1 else commands,
    }


def attributes(firings: Sequence[FiringRef]) -> list[SearchAttributePair[Sequence[str]]]:
    """Return the names as search attributes; none if they are not known yet.

    The names of a full batch are far shorter than the 2 kB that a server takes.
    """
    if not all(firing.subscription for firing in firings):
        return []
    names = (
        sorted({firing.subscription for firing in firings}),
        sorted({firing.definition for firing in firings}),
    )
    return [SearchAttributePair(key, found) for key, found in zip(ATTRIBUTES, names, strict=True)]


def details(runs: Sequence[tuple[FiringRef, str]]) -> str:
    """Return Markdown with a line for each run and its state."""
    return "\n".join(_line(firing, state) for firing, state in runs)


def state_of(carried: Carried) -> str:
    """Return the state of a run in a word or two."""
    if not carried.has_ended:
        return "open"
    return carried.ended_as or "not carried on here"


def end_of(run_id: str, status: str) -> str:
    """Return how a run ended, and the command that says why."""
    return f"{status}; {describing(run_id)}"


def failed_runs(failed: Sequence[str], count: int) -> str:
    """Return how many runs of a workflow failed, and a line for each of them."""
    return "\n".join([f"{len(failed)} of {count} runs failed", *failed])


def _line(firing: FiringRef, state: str) -> str:
    name = firing.subscription or firing.subscription_id
    return f"- **{name}**, {_cause(firing)}: {state}; `{describing(firing.run_id)}`"


def _cause(firing: FiringRef) -> str:
    return f"{firing.trigger}, due {firing_key(firing.due)}"


def _one_or_more(names: Sequence[str]) -> str | list[str]:
    known = sorted(set(names))
    return known[0] if len(known) == 1 else known
