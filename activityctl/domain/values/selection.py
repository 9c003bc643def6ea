"""Selection: which objects of a kind a list contains."""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime

from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Selection:
    """The conditions of a list; a field that is None or empty selects everything."""

    name: str | None = None
    """A name, an id or a unique prefix of an id; which of them depends on the kind."""
    subscription_id: str | None = None
    definition: str | None = None
    """Only subscriptions that use this definition, and dead letters of it."""
    task: str | None = None
    """Only dead letters whose first failed task has this name."""
    error: str | None = None
    """Only dead letters whose error has this text."""
    run_id: str | None = None
    replay_of: str | None = None
    """Only replays and retries of this run."""
    are_last: bool = False
    """Only runs that have no replay and no retry: the last run of each firing."""
    statuses: tuple[str, ...] = ()
    """An object must have one of these statuses."""
    since: datetime | None = None
    until: datetime | None = None
    """Only events before this time."""
    types: tuple[str, ...] = ()
    """An event's type must match one of these patterns; `*` matches any characters."""
    sources: tuple[str, ...] = ()
    """An event's source must match one of these patterns."""
    assignee: str | None = None
    """Only tasks that wait, or have waited, for this person or team."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Runs, tasks and dead letters have the labels of their subscription."""
    after: tuple[object, ...] = ()
    """Only what comes after the object with these values in the order of the list."""
    limit: int | None = 100
    """The most objects in the list; None for all."""

    def with_limit(self, limit: int | None) -> "Selection":
        """Return the same selection with this limit."""
        return replace(self, limit=limit)


def parse_labels(pairs: Sequence[str]) -> dict[str, str]:
    """Return the labels of `-l key=value[,key=value]`."""
    labels: dict[str, str] = {}
    for pair in (part for text in pairs for part in text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"not a label: {pair!r}", hint="write -l key=value")
        labels[key] = value
    return labels
