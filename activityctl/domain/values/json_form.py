"""The JSON contract: how each object looks to people and programs, keys in camelCase."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import Problem

API_VERSION: Final = "activityctl/v1"
View = dict[str, JsonValue]


def list_view(items: Iterable[Mapping[str, JsonValue]], *, has_more: bool | None = None) -> View:
    """Return a list as DESIGN section 5 has it; one that can be cut tells whether it was."""
    metadata: View = {} if has_more is None else {"metadata": {"hasMore": has_more}}
    return {"apiVersion": API_VERSION, "kind": "List", **metadata, "items": list(items)}


def format_timestamp(moment: datetime | None) -> str | None:
    """Return RFC 3339 in UTC, milliseconds kept."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def log_view(entry: LogEntry) -> View:
    """Return a log entry."""
    return {
        "id": entry.id,
        "subscriptionId": entry.subscription_id,
        "runId": entry.run_id,
        "message": entry.message,
        "level": entry.level,
        "createdAt": format_timestamp(entry.created_at),
        "metadata": dict(entry.metadata),
    }


def problem_view(problem: Problem) -> View:
    """Return a problem; what stands in no file, or has no place in it, has null there."""
    return {**_position_view(problem), "path": problem.path, "message": problem.reason}


def _position_view(problem: Problem) -> View:
    return {
        "file": problem.file or None,
        "line": problem.line or None,
        "column": problem.column or None,
    }
