"""What a trigger of several events may say: which, by what key, how long; fields and shape alone.

What becomes of the events is decided in `gathering`.
"""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from activityctl.domain.events.pattern import EventPattern
from activityctl.domain.values.duration import Duration, format_duration
from activityctl.domain.values.model import Manifest, Name

MOST_EVENTS: Final = 1_000
"""Events that a gathering holds; a run sees them all at once."""
NAMES_NO_EVENT: Final = (
    'names no event: write type, source, subject, match or filter; type: "*" takes all'
)
_MOST_PARTS: Final = 32


def _is_positive(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("should be longer than 0s")
    return duration


PositiveDuration = Annotated[Duration, AfterValidator(_is_positive)]
"""A duration over zero."""
_KEY: Final = (
    "Counts apart for each value of this template; sees event and params. One that cannot be "
    "evaluated leaves the event out, with the reason recorded. Default: all events together."
)


class EventPart(EventPattern):
    """One of the events that a trigger waits for."""

    @model_validator(mode="after")
    def _names_events(self) -> "EventPart":
        if not self.names_events:
            raise ValueError(NAMES_NO_EVENT)
        return self


class NamedPart(EventPart):
    """One of several events that a trigger waits for."""

    name: Name | None = Field(
        default=None,
        description="What to call it in verdicts; default: its place in the list, from 1.",
        examples=["payment"],
    )


Parts = Annotated[tuple[NamedPart, ...], Field(strict=False, min_length=2, max_length=_MOST_PARTS)]


class Debounce(Manifest):
    """One run for events that follow one another closely; it sees all of them."""

    for_: PositiveDuration = Field(
        alias="for",
        description="Due when no further event has come for so long.",
        examples=["10s"],
    )
    key: str | None = Field(default=None, description=_KEY, examples=["${ event.data.id }"])
    max: PositiveDuration | None = Field(
        default=None,
        description=f"Due this long after the first event at the latest. {MOST_EVENTS:,} events "
        "are due at once.",
        examples=["1m"],
    )

    @field_validator("max")
    @classmethod
    def _is_reachable(cls, longest: timedelta | None, info: ValidationInfo) -> timedelta | None:
        quiet = info.data.get("for_")
        if longest is not None and quiet is not None and longest < quiet:
            shown = format_duration(quiet)
            raise ValueError(f"{format_duration(longest)} is under for ({shown})")
        return longest


class Batch(Manifest):
    """One run for many events."""

    size: int = Field(
        ge=1, le=MOST_EVENTS, description="Due when so many have come.", examples=[100]
    )
    within: PositiveDuration = Field(
        description="Due this long after the first of them at the latest.", examples=["30s"]
    )
    key: str | None = Field(default=None, description=_KEY, examples=["${ event.data.region }"])


class Absence(Manifest):
    """Due when something that should follow does not; the run sees the event before it."""

    after: EventPart = Field(
        description="The event after which something should come.",
        examples=[{"type": "order.created"}],
    )
    of: EventPart = Field(
        description="What should come; it may be the same as `after`, for a heartbeat.",
        examples=[{"type": "order.paid"}],
    )
    within: PositiveDuration = Field(description="How long to wait for it.", examples=["2h"])
    key: str | None = Field(default=None, description=_KEY, examples=["${ event.data.orderId }"])
