"""The fields that triggers share: exclusions, window, jitter, misfire, bounds, clock changes.

The rules that use them are in `due_times`, `window` and `misfires`.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from activityctl.domain.timing.cron import parse_weekdays
from activityctl.domain.values.duration import Duration
from activityctl.domain.values.model import Manifest, Name, is_written
from activityctl.domain.values.moment import Clock, Days, Moment, format_clock
from activityctl.domain.values.timezone import ZoneName


class Gap(StrEnum):
    """What happens to a local time that does not exist because clocks go forward."""

    SKIP = "skip"
    SHIFT = "shift"


class Overlap(StrEnum):
    """What happens to a local time that is repeated because clocks go back."""

    FIRST = "first"
    BOTH = "both"


class Dst(Manifest):
    """What happens when the clocks change."""

    gap: Gap = Field(
        default=Gap.SKIP,
        strict=False,
        description="What to do with a local time that does not exist: `skip` it, or `shift` it "
        "by the length of the gap (02:30 becomes 03:30).",
        examples=["shift"],
    )
    overlap: Overlap | None = Field(
        default=None,
        strict=False,
        description="When to fire at a repeated local time: the `first` time, or `both` times. "
        "Default: both for a schedule whose hour field begins with *, first for any other.",
        examples=["first"],
    )


class MisfirePolicy(StrEnum):
    """Which firings that could not start on time run late."""

    SKIP = "skip"
    FIRE_ONCE = "fire_once"
    FIRE_ALL = "fire_all"


class Misfire(Manifest):
    """What to do with firings that could not start on time."""

    policy: MisfirePolicy = Field(
        default=MisfirePolicy.FIRE_ONCE,
        strict=False,
        description="Which of them run late: `skip` none; `fire_once` only the latest; `fire_all` "
        "all. Each of the others becomes a `missed` run. A firing is late after 30 s, also if it "
        "only waits for its turn because thousands are due at once.",
        examples=["fire_all"],
    )
    window: Duration = Field(
        default=timedelta(days=1),
        description="The longest delay; a firing that is later never runs.",
        examples=["6h"],
    )


class Exclusion(Manifest):
    """Days on which nothing starts."""

    dates: tuple[Days, ...] = Field(
        default=(),
        strict=False,
        description="Days, or spans of days with both ends included.",
        examples=[["2026-12-24", "2026-12-27/2027-01-02"]],
    )
    calendars: tuple[Name, ...] = Field(
        default=(),
        strict=False,
        description="Names of Calendar manifests.",
        examples=[["holidays"]],
    )
    timezone: ZoneName | None = Field(
        default=None,
        description="The time zone of these days. Default: the trigger's zone, else UTC.",
        examples=["Europe/Berlin"],
    )

    @model_validator(mode="after")
    def _names_days(self, info: ValidationInfo) -> Self:
        if is_written(info) and not self.dates and not self.calendars:
            raise ValueError("names no day: write dates, calendars, or both")
        return self


class Outside(StrEnum):
    """What happens to a firing that is due outside its window."""

    WAIT = "wait"
    SKIP = "skip"
    MISS = "miss"


class ExecutionWindow(Manifest):
    """The hours of the week in which a firing may start."""

    days: str = Field(
        default="*",
        description="Days of the week as in cron. A window over midnight belongs to the day on "
        "which it begins.",
        examples=["mon-fri"],
    )
    from_: Clock = Field(
        default=0, alias="from", description="The first minute of the window.", examples=["08:00"]
    )
    to: Clock = Field(
        default=24 * 60,
        description="The first minute after the window. If it is before `from`, the window goes "
        "over midnight.",
        examples=["18:00"],
    )
    timezone: ZoneName | None = Field(
        default=None,
        description="The time zone of these hours. Default: the trigger's zone, else UTC.",
        examples=["Europe/Berlin"],
    )
    outside: Outside = Field(
        default=Outside.WAIT,
        strict=False,
        description="What to do with a firing that is due outside: `wait` starts it when the "
        "window opens, `skip` makes it a `skipped` run, `miss` a `missed` run.",
        examples=["skip"],
    )

    @field_validator("days")
    @classmethod
    def _are_days(cls, days: str) -> str:
        parse_weekdays(days)
        return days

    @field_validator("to")
    @classmethod
    def _differs_from_start(cls, to: int, info: ValidationInfo) -> int:
        first = info.data.get("from_")
        if (first, to) == (24 * 60, 0):
            raise ValueError("from 24:00 to 00:00 is an empty window: omit both for the whole day")
        if to == first:
            raise ValueError(
                f"from and to are both {format_clock(to)}: omit both for the whole day"
            )
        return to


class Bounded(Manifest):
    """The fields of all kinds of trigger: when firings may not start."""

    exclude: Exclusion | None = Field(
        default=None,
        description="Days on which nothing starts. A firing that is due then is a `skipped` run.",
        examples=[{"dates": ["2026-12-24/2027-01-02"], "calendars": ["holidays"]}],
    )
    window: ExecutionWindow | None = Field(
        default=None,
        description="The hours in which a firing may start.",
        examples=[{"days": "mon-fri", "from": "08:00", "to": "18:00"}],
    )


class Clocked(Bounded):
    """The fields of the triggers that follow the clock."""

    jitter: Duration = Field(
        default=timedelta(0),
        description="Start each firing up to this much later, to spread the load. The delay of a "
        "firing is always the same. Must be shorter than the shortest time between two firings, "
        "so that they keep their order.",
        examples=["30s"],
    )
    misfire: Misfire = Field(
        default=Misfire(),
        description="What to do with firings that could not start on time.",
        examples=[{"policy": "fire_all", "window": "6h"}],
    )
    start_at: Moment | None = Field(
        default=None,
        description="Nothing is due before this time.",
        examples=["2026-12-01T00:00:00Z"],
    )
    end_at: Moment | None = Field(
        default=None,
        description="Nothing is due after this time.",
        examples=["2027-03-31T22:00:00Z"],
    )
    max_firings: int | None = Field(
        default=None,
        ge=1,
        description="The most firings that may start since the trigger was last changed. Missed "
        "firings do not count, nor do firings that an excluded day, a window or a clock change "
        "skips. A firing whose run is skipped by concurrency, throttle or a rule counts.",
        examples=[10],
    )

    @field_validator("end_at")
    @classmethod
    def _is_after_start(cls, end_at: datetime | None, info: ValidationInfo) -> datetime | None:
        start_at = info.data.get("start_at")
        if start_at is not None and end_at is not None and end_at < start_at:
            raise ValueError("must not be before startAt")
        return end_at
