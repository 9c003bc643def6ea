"""The JSON forms of lists, log entries, problems and times in output; keys in camelCase."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import Problem

API_VERSION: Final = "activityctl/v1"
View = dict[str, JsonValue]


def list_view(items: Iterable[Mapping[str, JsonValue]], *, has_more: bool | None = None) -> View:
    """Return the JSON form of a list; `has_more` tells whether a limited list is incomplete."""
    metadata: View = {} if has_more is None else {"metadata": {"hasMore": has_more}}
    return {"apiVersion": API_VERSION, "kind": "List", **metadata, "items": list(items)}


def format_timestamp(moment: datetime | None) -> str | None:
    """Return the time as RFC 3339 in UTC, with milliseconds; None for None."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_OF_HOOKS: Final = ("subAccountAddress", "chainId", "outputTxHash")
"""What the entry of a hook has beside its metadata, as the Builder Kit's text wants it."""


def log_view(entry: LogEntry) -> View:
    """Return the JSON form of a log entry; that of a hook has the fields of the Builder Kit."""
    of_hook: View = {}
    if all(name in entry.metadata for name in ("request", "response", *_OF_HOOKS)):
        of_hook = {name: entry.metadata[name] for name in _OF_HOOKS}
        of_hook["subId"] = entry.subscription_id
    return {
        **of_hook,
        "id": entry.id,
        "subscriptionId": entry.subscription_id,
        "runId": entry.run_id,
        "message": entry.message,
        "level": entry.level,
        "createdAt": format_timestamp(entry.created_at),
        "metadata": dict(entry.metadata),
    }


def problem_view(problem: Problem) -> View:
    """Return the JSON form of a problem; file, line and column are null when not known."""
    return {
        "file": problem.file or None,
        "line": problem.line or None,
        "column": problem.column or None,
        "path": problem.path,
        "message": problem.reason,
    }
