"""What the outage drill reads from Postgres, and how it sorts it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

AT_THE_EDGE: Final = timedelta(seconds=2)
"""A firing that is due this shortly after the start of an outage may have begun already."""


@dataclass(frozen=True)
class Outage:
    """When a component was down and up again, and when all schedules fired again."""

    name: str
    down: datetime
    up: datetime
    recovered: datetime

    def __str__(self) -> str:
        away, back = self.up - self.down, self.recovered - self.up
        return f"{self.name} for {away}, all fire again {back} later"


@dataclass(frozen=True)
class Row:
    """A run with its firing, as stored in Postgres."""

    id: str
    name: str
    trigger: str
    due_at: datetime
    status: str
    reason: str | None
    created_at: datetime
    started_at: datetime | None
    fired_at: datetime | None
    fires_at: datetime | None

    @property
    def ran(self) -> bool:
        return self.status == "succeeded"

    @property
    def decided_at(self) -> datetime:
        """When its outcome was decided."""
        return self.fired_at if self.fired_at and self.ran else self.created_at

    @property
    def was_prevented(self) -> bool:
        """Whether it should have run, but an outage began before it started."""
        return (self.reason or "").startswith("not started in time")


def grouped(rows: Sequence[Row]) -> Mapping[datetime, list[Row]]:
    """Return the rows that were decided together, by the moment of the decision."""
    groups = defaultdict(list)
    for row in rows:
        groups[row.decided_at].append(row)
    return groups


def before_prevented(rows: Sequence[Row]) -> set[str]:
    """Return the ids of the rows whose next time was decided with them, but prevented later."""
    return {earlier.id for earlier, later in pairwise(rows) if later.was_prevented}


def meanwhile(rows: Sequence[Row], every: timedelta, outages: Sequence[Outage]) -> list[Row]:
    """Return the rows that were due during an outage, but not the last of each outage."""
    return [
        row
        for row in rows
        for outage in outages
        if outage.down + AT_THE_EDGE < row.due_at < outage.up - every
    ]


def counted(rows: Sequence[Row]) -> str:
    statuses = Counter(row.status for row in rows)
    lags = [row.started_at - row.fires_at for row in rows if row.started_at and row.fires_at]
    latest = max(lags, default=timedelta(0)).total_seconds()
    prevented = sum(row.was_prevented for row in rows)
    late = f"the latest began {latest:.1f} s after its time"
    return f"{dict(statuses)}, {prevented} not started in time; {late}"
