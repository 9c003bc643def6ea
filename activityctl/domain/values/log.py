"""LogEntry: one line in the log of a subscription or run. Cursor: a position in the log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, get_args

from activityctl.domain.values.model import JsonValue
from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass

Level = Literal["debug", "info", "warning", "error"]
_CURSOR: Final = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)
_LAST_ID: Final = 10**18 - 1
_BACK_REFERENCE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\[1-9]")
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""From the least to the most serious."""


@frozen_dataclass
class LogEntry:
    """One line of a subscription's log; `id` is 0 until Postgres has assigned one."""

    subscription_id: str
    run_id: str | None
    message: str
    level: Level
    created_at: datetime
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    id: int = 0
    transaction: int = field(default=0, compare=False, repr=False)
    """That of Postgres which stored it; 0 until it is read."""

    @property
    def cursor(self) -> "Cursor":
        """The position of an entry that was read."""
        return Cursor(self.transaction, self.id)


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A position in a log: the last entry that was read, by transaction, then by id.

    An id alone is not enough: a row with a smaller id may be committed after a row with a
    larger id was read.
    """

    transaction: int = 0
    id: int = 0

    def __str__(self) -> str:
        """Return the text that `parse_cursor` reads."""
        return f"{self.transaction}-{self.id}"


def end_of(transaction: int) -> Cursor:
    """Return the position after all entries of a transaction."""
    return Cursor(transaction, _LAST_ID)


@frozen_dataclass
class LogNews:
    """What is new in the log of some subscriptions."""

    entries: list[LogEntry]
    cursor: Cursor
    """All that comes before or here is read: no entry will ever be added to it."""
    is_held_back: bool
    """Whether there are more entries, which can be read when an older transaction has ended."""


def parse_cursor(text: str) -> Cursor:
    """Return the cursor of a text; UsageError if it is none."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise UsageError(f"{text[:60]!r} is no cursor", hint="give the cursor of a page")
    return Cursor(int(found[1]), int(found[2]))


@frozen_dataclass
class LogFilter:
    """Which entries are read: those of some subscriptions, or of one of their runs."""

    subscription_ids: tuple[str, ...]
    run_id: str | None = None
    level: Level = "debug"
    """The least serious level."""
    text: str | None = None
    """A regular expression that is found in the message, as `grep -E` does.

    UsageError for one with a back reference: Postgres could look for it for hours.
    """
    task: str | None = None
    """A task, with all items of its forEach and all that is in it; or one item, `notify[2]`."""
    since: datetime | None = None
    until: datetime | None = None
    """Only entries that were written before this time."""

    def __post_init__(self) -> None:
        """Raise UsageError for a regular expression that may take too long."""
        if self.text is not None and _BACK_REFERENCE.search(self.text):
            raise UsageError(
                r"a regular expression with a back reference, such as \1, is not allowed",
                hint="it can take for ever; write what it stands for in its place",
            )

    @property
    def is_search(self) -> bool:
        """Whether entries have to be looked at that may not be wanted."""
        return self != LogFilter(self.subscription_ids, self.run_id)

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels that are read."""
        return LEVELS[LEVELS.index(self.level) :]

    def of(self, subscription_ids: tuple[str, ...], run_id: str | None = None) -> "LogFilter":
        """Return the same filter for these subscriptions, or for one run."""
        return replace(self, subscription_ids=subscription_ids, run_id=run_id)

    def admits(self, entry: LogEntry) -> bool:
        """Return whether the entry is one of those that are read."""
        return (
            entry.subscription_id in self.subscription_ids
            and self.run_id in {None, entry.run_id}
            and entry.level in self.levels
            and (self.text is None or re.search(self.text, entry.message) is not None)
            and (self.task is None or is_of_task(entry, self.task))
            and (self.since is None or entry.created_at >= self.since)
            and (self.until is None or entry.created_at < self.until)
        )


def is_of_task(entry: LogEntry, task: str) -> bool:
    """Return whether the entry says which task it is about, and that is this task or in it."""
    name, index = entry.metadata.get("task"), entry.metadata.get("index")
    return isinstance(name, str) and is_in_task(name, "" if index is None else str(index), task)


def is_in_task(name: str, index: str, task: str) -> bool:
    """Return whether an instance is of the task, of that one item of it, or within it."""
    return task in {name, f"{name}[{index}]"} or name.startswith((f"{task}.", f"{task}["))
