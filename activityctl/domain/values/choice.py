"""Choice: which objects a command acts on, by their names or by filters."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Choice:
    """The names that a command was given, or the conditions that objects must fulfil."""

    names: tuple[str, ...] = ()
    subscription: str | None = None
    """The name, id or beginning of the id of the subscription that runs belong to."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Runs have the labels of their subscription."""
    statuses: tuple[str, ...] = ()
    """Empty for every status that the command can act on."""
    since: datetime | None = None
    has_all: bool = False
    """Whether `--all` was given, so that no condition is needed."""
    limit: int | None = None
    """The most objects, the oldest first; None for all."""

    @property
    def is_by_name(self) -> bool:
        """Whether the objects are named; what filters select is listed before it is changed."""
        return bool(self.names)

    @property
    def has_filter(self) -> bool:
        """Whether there is a condition."""
        return any((self.subscription, self.labels, self.statuses, self.since))

    def check(self, noun: str, word: str = "names") -> None:
        """Raise UsageError unless there are names, filters or `--all`, and names stand alone.

        So nothing is changed by mistake. `noun` is one object, such as `run`; `word` is what the
        command calls its arguments.
        """
        if self.is_by_name and (self.has_filter or self.has_all):
            raise UsageError(f"{word} and filters cannot be combined", hint="give one of them")
        if not self.is_by_name and not self.has_filter and not self.has_all:
            raise UsageError(f"no {noun} is named", hint=f"name a {noun}, or give -l or --all")
