"""Converts rows of events and verdicts to domain values, and patterns to LIKE patterns."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from activityctl.adapters.postgres.database import to_storable_text
from activityctl.domain.events.parts import ANY
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict, VerdictOutcome
from activityctl.domain.values.ids import EventId

EVENT_COLUMNS: Final = "e.id, e.place, e.document, e.arrived_at, e.routed_at"
VERDICT_COLUMNS: Final = """v.event_id, v.subscription_id, v.trigger, v.feed, v.outcome, v.reason,
    v.firing_key, v.created_at"""


def like_patterns(patterns: Iterable[str]) -> list[str]:
    """Return LIKE patterns for patterns in which `*` matches any characters."""
    return [_like_pattern(pattern) for pattern in patterns]


def _like_pattern(pattern: str) -> str:
    escaped = (to_storable_text(pattern) or "").replace("\\", "\\\\").replace("%", "\\%")
    return escaped.replace("_", "\\_").replace(ANY, "%")


def event_of(row: Mapping[str, Any]) -> ArrivedEvent:
    """Return the event of a row with EVENT_COLUMNS."""
    return ArrivedEvent(
        EventId(row["id"]), row["place"], row["document"], row["arrived_at"], row["routed_at"]
    )


def verdict_of(row: Mapping[str, Any]) -> Verdict:
    """Return the verdict of a row with VERDICT_COLUMNS."""
    return Verdict(
        EventId(row["event_id"]),
        row["subscription_id"],
        row["trigger"],
        VerdictOutcome(row["outcome"]),
        row["created_at"],
        row["reason"],
        row["firing_key"],
        row["feed"],
    )
