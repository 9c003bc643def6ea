"""Calendar: named days that triggers may exclude; what an excluded day means is `window`'s."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Self

from pydantic import Field, model_validator

from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.moment import Days, DaySpan


class DayCalendarSpec(Manifest):
    """The days of a calendar: written out, or in an iCalendar file, or both."""

    days: tuple[Days, ...] = Field(
        default=(),
        strict=False,
        description="Days, or spans with both ends included.",
        examples=[["2026-12-24", "2026-12-27/2027-01-02"]],
    )
    ical: str | None = Field(
        default=None,
        min_length=1,
        description="An iCalendar file in the folder of this one or below it, read when the "
        "manifest is; its events from 2020 to 2040 count, all the days that they touch.",
        examples=["holidays.ics"],
    )

    @model_validator(mode="after")
    def _names_days(self) -> Self:
        if not self.days and self.ical is None:
            raise ValueError("no day is named: write days, ical, or both")
        return self


class DayCalendar(Manifest):
    """Named days that triggers may exclude."""

    metadata: Metadata
    spec: DayCalendarSpec

    @property
    def days(self) -> tuple[DaySpan, ...]:
        """Its days in their order; those of an iCalendar file only once it has been read."""
        return merge_days(self.spec.days)

    def with_days(self, found: Iterable[DaySpan]) -> "DayCalendar":
        """Return it with the days of its iCalendar file written out."""
        days = merge_days([*self.spec.days, *found])
        return DayCalendar(metadata=self.metadata, spec=DayCalendarSpec(days=days))


@dataclass(frozen=True, slots=True)
class PresentCalendar:
    """A calendar as it lives in Postgres; an iCalendar file is no part of it, only its days."""

    name: str
    days: tuple[DaySpan, ...]
    created_at: datetime
    updated_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    applyset: str | None = None


def merge_days(spans: Iterable[DaySpan]) -> tuple[DaySpan, ...]:
    """Return the same days in their order, in as few spans as there can be."""
    found: list[DaySpan] = []
    for span in sorted(spans):
        if found and span.first.toordinal() <= found[-1].last.toordinal() + 1:
            found[-1] = DaySpan(found[-1].first, max(found[-1].last, span.last))
        else:
            found.append(span)
    return tuple(found)


def subtract_days(spans: Iterable[DaySpan], others: Iterable[DaySpan]) -> tuple[DaySpan, ...]:
    """Return the days of merged spans that are not among others, merged too."""
    taken = list(others)
    return tuple(part for span in spans for part in _parts(span, taken))


def _parts(span: DaySpan, taken: list[DaySpan]) -> Iterator[DaySpan]:
    start, end = span.first.toordinal(), span.last.toordinal()
    for other in taken:
        first, last = other.first.toordinal(), other.last.toordinal()
        if last < start or first > end:
            continue
        if first > start:
            yield DaySpan(date.fromordinal(start), date.fromordinal(first - 1))
        start = last + 1
    if start <= end:
        yield DaySpan(date.fromordinal(start), date.fromordinal(end))


def count_days(spans: Iterable[DaySpan]) -> int:
    """Return how many days merged spans have."""
    return sum((span.last - span.first).days + 1 for span in spans)


def calendars_named(trigger: JsonValue) -> tuple[str, ...]:
    """Return the calendars that a trigger's body names, whatever its kind and its other faults."""
    exclude = trigger.get("exclude") if isinstance(trigger, dict) else None
    names = exclude.get("calendars") if isinstance(exclude, dict) else None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
