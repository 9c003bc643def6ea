"""Calendar: named days that triggers may exclude; `timing.window` applies the exclusions."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from datetime import date, datetime
from typing import Self

from pydantic import Field, model_validator

from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.moment import Days, DaySpan
from activityctl.frozen_dataclass import frozen_dataclass


class DayCalendarSpec(Manifest):
    """The days of a calendar: written out, in an iCalendar file, or both."""

    days: tuple[Days, ...] = Field(
        default=(),
        strict=False,
        description="Days, or spans of days with both ends included.",
        examples=[["2026-12-24", "2026-12-27/2027-01-02"]],
    )
    ical: str | None = Field(
        default=None,
        min_length=1,
        description="An iCalendar file in the folder of the manifest or below it. It is read "
        "together with the manifest. Every day that one of its events touches counts, from 2020 "
        "to 2040.",
        examples=["holidays.ics"],
    )

    @model_validator(mode="after")
    def _names_days(self) -> Self:
        if not self.days and self.ical is None:
            raise ValueError("no day is named: write days, ical, or both")
        return self


class DayCalendar(Manifest):
    """Named days that triggers can exclude."""

    metadata: Metadata
    spec: DayCalendarSpec

    @property
    def days(self) -> tuple[DaySpan, ...]:
        """Its days in order; the days of an iCalendar file only after `with_days`."""
        return merge_days(self.spec.days)

    def with_days(self, found: Iterable[DaySpan]) -> "DayCalendar":
        """Return the calendar with the days of its iCalendar file written out."""
        days = merge_days([*self.spec.days, *found])
        return DayCalendar(metadata=self.metadata, spec=DayCalendarSpec(days=days))


@frozen_dataclass
class PresentCalendar:
    """A calendar as stored in Postgres: the days of its iCalendar file, but not the file."""

    name: str
    days: tuple[DaySpan, ...]
    created_at: datetime
    updated_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    applyset: str | None = None


def merge_days(spans: Iterable[DaySpan]) -> tuple[DaySpan, ...]:
    """Return the same days, in order and in the smallest number of spans."""
    merged: list[DaySpan] = []
    for span in sorted(spans):
        if merged and span.first.toordinal() <= merged[-1].last.toordinal() + 1:
            merged[-1] = DaySpan(merged[-1].first, max(merged[-1].last, span.last))
        else:
            merged.append(span)
    return tuple(merged)


def subtract_days(spans: Iterable[DaySpan], others: Iterable[DaySpan]) -> tuple[DaySpan, ...]:
    """Return the days of `spans` that are not in `others`; all spans are merged and in order."""
    removed = list(others)
    return tuple(part for span in spans for part in _subtract(span, removed))


def _subtract(span: DaySpan, others: list[DaySpan]) -> Iterator[DaySpan]:
    start, end = span.first.toordinal(), span.last.toordinal()
    for other in others:
        first, last = other.first.toordinal(), other.last.toordinal()
        if last < start or first > end:
            continue
        if first > start:
            yield DaySpan(date.fromordinal(start), date.fromordinal(first - 1))
        start = last + 1
    if start <= end:
        yield DaySpan(date.fromordinal(start), date.fromordinal(end))


def count_days(spans: Iterable[DaySpan]) -> int:
    """Return the number of days in merged spans."""
    return sum((span.last - span.first).days + 1 for span in spans)


def calendars_named(trigger: JsonValue) -> tuple[str, ...]:
    """Return the calendars that the body of a trigger names.

    The body may be of any kind and may have any other mistakes.
    """
    exclude = trigger.get("exclude") if isinstance(trigger, dict) else None
    names = exclude.get("calendars") if isinstance(exclude, dict) else None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
