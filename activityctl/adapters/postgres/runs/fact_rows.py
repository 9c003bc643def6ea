"""The parts of the statements and rows that facts of subscriptions and definitions share."""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.runs.latest_run import LatestRun
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.subscription_facts import JUDGED, PERIODS, FailedRun, RunFigures

JUDGED_SQL: Final = ", ".join(f"'{status}'" for status in sorted(JUDGED))
PERIODS_SQL: Final = ", ".join(
    f"('{name}', interval '{span.days} days')" for name, span in PERIODS.items()
)
COUNTS_SQL: Final = ", ".join(
    f"count(*) FILTER (WHERE n.status = '{status}') AS {status}" for status in RunStatus
)


def figures_of(row: Mapping[str, Any]) -> RunFigures:
    """Return the figures of a period."""
    counts = {status.value: row[status] for status in RunStatus if row[status]}
    p50, p95, longest = row["took"] or (None, None, None)
    return RunFigures(counts, row["is_cut"], p50, p95, longest)


def latest_of(row: Mapping[str, Any]) -> LatestRun:
    """Return one of the newest runs."""
    return LatestRun(
        row["id"],
        RunStatus(row["status"]),
        row["trigger"],
        row["created_at"],
        row["started_at"],
        row["ended_at"],
        row["is_stuck"],
    )


def failure_of(row: Mapping[str, Any]) -> FailedRun:
    """Return the newest run that failed."""
    return FailedRun(row["id"], RunStatus(row["status"]), row["reason"], row["ended_at"])
