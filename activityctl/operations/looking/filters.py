"""Which filters a list of each kind takes, and how many objects it has without one."""

from collections.abc import Mapping
from typing import Final

from activityctl.domain.events.stored_event import EVENT_STATUSES
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.dead_letter import LetterStatus
from activityctl.domain.runs.run import RunStatus, TaskStatus
from activityctl.domain.tasks.breaker import BreakerStatus
from activityctl.domain.values.selection import Selection
from activityctl.errors import UsageError
from activityctl.operations.looking.kinds import Kind

_FILTERS: Final[Mapping[str, frozenset[Kind]]] = {
    "-l": frozenset(
        {"definitions", "subscriptions", "calendars", "sources", "runs", "tasks", "deadletters"}
    ),
    "--subscription": frozenset(
        {"subscriptions", "schedules", "runs", "tasks", "deadletters", "events"}
    ),
    "--run": frozenset({"runs", "tasks", "deadletters", "events"}),
    "--status": frozenset({"subscriptions", "runs", "tasks", "deadletters", "events", "breakers"}),
    "--since": frozenset({"runs", "tasks", "deadletters", "events", "audit"}),
    "--until": frozenset({"events"}),
    "--assignee": frozenset({"tasks"}),
    "notReplayed": frozenset({"runs"}),
    "--type": frozenset({"events"}),
    "--source": frozenset({"events"}),
    "--definition": frozenset({"subscriptions", "deadletters"}),
    "--task": frozenset({"deadletters"}),
    "--error": frozenset({"deadletters"}),
}
"""The kinds that each filter can be used with."""
_STATUSES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "subscriptions": tuple(SubscriptionStatus),
    "runs": tuple(RunStatus),
    "tasks": tuple(TaskStatus),
    "deadletters": tuple(LetterStatus),
    "events": EVENT_STATUSES,
    "breakers": tuple(BreakerStatus),
}
_LISTED_IN_FULL: Final = frozenset(
    {"definitions", "subscriptions", "calendars", "sources", "schedules", "workers"}
    | {"breakers", "limits", "sets", "chains", "relayers"}
)
"""Kinds that come from manifests, so that their number is limited; the others keep growing."""
_DEFAULT_LIMIT: Final = 100


def default_limit(kind: Kind) -> int | None:
    """Return how many objects are listed when no limit is given; None for all."""
    return None if kind in _LISTED_IN_FULL else _DEFAULT_LIMIT


def check_filters(kind: Kind, selection: Selection) -> None:
    """Raise UsageError for a filter that cannot be used with the kind, or an unknown status."""
    for option in given_filters(selection):
        if kind not in _FILTERS[option]:
            raise UsageError(
                f"{option} cannot be used with {kind}",
                hint=f"use it with {', '.join(sorted(_FILTERS[option]))}",
            )
    for status in selection.statuses:
        if status not in _STATUSES[kind]:
            raise UsageError(
                f"{status!r} is not a status of {kind}", hint="use " + ", ".join(_STATUSES[kind])
            )


def given_filters(selection: Selection) -> list[str]:
    """Return the options of the filters that are given."""
    values = {
        "-l": selection.labels,
        "--subscription": selection.subscription_id,
        "--run": selection.run_id,
        "--status": selection.statuses,
        "--since": selection.since,
        "--until": selection.until,
        "--assignee": selection.assignee,
        "notReplayed": selection.are_last,
        "--type": selection.types,
        "--source": selection.sources,
        "--definition": selection.definition,
        "--task": selection.task,
        "--error": selection.error,
    }
    return [option for option, value in values.items() if value]
