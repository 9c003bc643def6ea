"""LogRule: decides in memory which log entries a filter admits, exactly as Postgres does.

So one reader can serve all who follow a log. What only Postgres can decide stays open.
"""

from activityctl.domain.values.log import LogEntry, LogFilter, is_in_task
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.search_text import required_text


class LogRule:
    """The rule of one filter."""

    def __init__(self, wanted: LogFilter) -> None:
        self.owners = frozenset(wanted.subscription_ids)
        self._wanted = wanted
        self._levels = frozenset(wanted.levels)
        self._required = required_text(wanted.text or "")

    def verdict(self, entry: LogEntry) -> bool | None:
        """Return whether the filter admits an entry that was read; None if only Postgres knows.

        It is None for regular expressions, and for an entry that names its task only by its id.
        """
        wanted = self._wanted
        is_near = (
            entry.subscription_id in self.owners
            and wanted.run_id in {None, entry.run_id}
            and entry.level in self._levels
            and (wanted.since is None or entry.created_at >= wanted.since)
            and (wanted.until is None or entry.created_at < wanted.until)
        )
        if not is_near:
            return False
        verdicts = (self._on_text(entry.message), _on_task(entry, wanted.task))
        if False in verdicts:
            return False
        return None if None in verdicts else True

    def _on_text(self, message: str) -> bool | None:
        if self._wanted.text is None:
            return True
        if self._required not in message:
            return False
        return True if self._required == self._wanted.text else None


def _on_task(entry: LogEntry, task: str | None) -> bool | None:
    if task is None:
        return True
    name = entry.metadata.get("task")
    index = _text(entry.metadata.get("index"))
    if name is None:
        return False if entry.metadata.get("taskId") is None else None
    if not isinstance(name, str) or index is None:
        return None
    return is_in_task(name, index, task)


def _text(value: JsonValue) -> str | None:
    """Return the text that Postgres' `->>` gives, empty for NULL; None if that is not known."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return None
        case int():
            return str(value)
        case _:
            return None
