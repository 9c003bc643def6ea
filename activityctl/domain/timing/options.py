"""What a trigger may say about its times beside when they are: fields and their shape alone.

What they mean is decided in `firing`, `window` and `settlement`.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field, ValidationInfo, field_validator

from activityctl.domain.timing.cron import parse_weekdays
from activityctl.domain.values.duration import Duration
from activityctl.domain.values.model import Manifest, Name
from activityctl.domain.values.moment import Clock, Days, Moment, format_clock
from activityctl.domain.values.timezone import ZoneName


class Gap(StrEnum):
    """What becomes of a local time that the clocks jump over."""

    SKIP = "skip"
    SHIFT = "shift"


class Overlap(StrEnum):
    """What becomes of a local time that comes twice."""

    FIRST = "first"
    BOTH = "both"


class Dst(Manifest):
    """What happens when the clocks change."""

    gap: Gap = Field(
        default=Gap.SKIP,
        strict=False,
        description="A local time that does not exist that day: `skip` it, or `shift` it on by "
        "the length of the gap (02:30 becomes 03:30).",
        examples=["shift"],
    )
    overlap: Overlap | None = Field(
        default=None,
        strict=False,
        description="A local time that comes twice: fire at its `first` coming, or at `both`. "
        "Default: first; both for a schedule whose hour field begins with *, which names no "
        "time of day.",
        examples=["first"],
    )


class MisfirePolicy(StrEnum):
    """What becomes of firings that could not start when they were due."""

    SKIP = "skip"
    FIRE_ONCE = "fire_once"
    FIRE_ALL = "fire_all"


class Misfire(Manifest):
    """What to do about firings that could not start when they were due."""

    policy: MisfirePolicy = Field(
        default=MisfirePolicy.FIRE_ONCE,
        strict=False,
        description="`skip` none is made up for; `fire_once` the latest is; `fire_all` every one "
        "is. Each that does not run is a `missed` run.",
        examples=["fire_all"],
    )
    window: Duration = Field(
        default=timedelta(days=1),
        description="What is later than this is never made up for.",
        examples=["6h"],
    )


class Exclusion(Manifest):
    """Days on which nothing starts."""

    dates: tuple[Days, ...] = Field(
        default=(),
        strict=False,
        description="Days, or spans with both ends included.",
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
        description="Where those days are; default: the trigger's zone, else UTC.",
        examples=["Europe/Berlin"],
    )


class Outside(StrEnum):
    """What becomes of a firing that is due outside its window."""

    WAIT = "wait"
    SKIP = "skip"
    MISS = "miss"


class ExecutionWindow(Manifest):
    """The hours of the week in which a firing may start."""

    days: str = Field(
        default="*",
        description="Days of the week as in cron; a window over midnight belongs to the day on "
        "which it begins.",
        examples=["mon-fri"],
    )
    from_: Clock = Field(
        default=0, alias="from", description="The first minute.", examples=["08:00"]
    )
    to: Clock = Field(
        default=24 * 60,
        description="The first minute after it; before `from`, the window goes over midnight.",
        examples=["18:00"],
    )
    timezone: ZoneName | None = Field(
        default=None,
        description="Where those hours are; default: the trigger's zone, else UTC.",
        examples=["Europe/Berlin"],
    )
    outside: Outside = Field(
        default=Outside.WAIT,
        strict=False,
        description="A firing due outside: `wait` for the window, be a `skipped` run, or be a "
        "`missed` one.",
        examples=["skip"],
    )

    @field_validator("days")
    @classmethod
    def _are_days(cls, days: str) -> str:
        parse_weekdays(days)
        return days

    @field_validator("to")
    @classmethod
    def _leaves_room(cls, to: int, info: ValidationInfo) -> int:
        if to == info.data.get("from_"):
            raise ValueError(
                f"from and to are both {format_clock(to)}: leave both out for the whole day"
            )
        return to


class Bounded(Manifest):
    """What every kind of trigger may say: when its firings may not start."""

    exclude: Exclusion | None = Field(
        default=None,
        description="Days on which nothing starts; a firing due then is a `skipped` run.",
        examples=[{"dates": ["2026-12-24/2027-01-02"], "calendars": ["holidays"]}],
    )
    window: ExecutionWindow | None = Field(
        default=None,
        description="The hours in which a firing may start.",
        examples=[{"days": "mon-fri", "from": "08:00", "to": "18:00"}],
    )


class Clocked(Bounded):
    """What triggers that follow the clock may say, whatever their rhythm."""

    jitter: Duration = Field(
        default=timedelta(0),
        description="Start up to this much later, to spread the load; the same for a firing "
        "whoever asks. Under the shortest time between two firings, so that they keep their "
        "order.",
        examples=["30s"],
    )
    misfire: Misfire = Field(
        default=Misfire(),
        description="What to do about firings that could not start when they were due.",
        examples=[{"policy": "fire_all", "window": "6h"}],
    )
    start_at: Moment | None = Field(
        default=None, description="Nothing is due before.", examples=["2026-12-01T00:00:00Z"]
    )
    end_at: Moment | None = Field(
        default=None, description="Nothing is due after.", examples=["2027-03-31T22:00:00Z"]
    )
    max_firings: int | None = Field(
        default=None,
        ge=1,
        description="How many firings may start in all, since the trigger was last changed. "
        "Missed ones, and those that an excluded day, a window or the clocks' change leave out, "
        "do not count; one whose run is skipped by overlap, throttle or a rule does.",
        examples=[10],
    )

    @field_validator("end_at")
    @classmethod
    def _is_after_start(cls, end_at: datetime | None, info: ValidationInfo) -> datetime | None:
        start_at = info.data.get("start_at")
        if start_at is not None and end_at is not None and end_at < start_at:
            raise ValueError("it is before startAt")
        return end_at
