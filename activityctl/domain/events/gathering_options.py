"""The fields of a trigger that gathers several events: which events, by what key, how long.

What happens to the events is decided in `gathering`.
"""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from activityctl.domain.events.pattern import EventPattern
from activityctl.domain.values.duration import Duration, format_duration
from activityctl.domain.values.model import Manifest, Name

MOST_EVENTS: Final = 1_000
"""Maximum number of events in a gathering; one run sees all of them."""
NAMES_NO_EVENT: Final = (
    'names no event: write type, source, subject, match or filter (type: "*" matches every event)'
)
_MAX_PARTS: Final = 32


def _check_positive(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("should be longer than 0s")
    return duration


PositiveDuration = Annotated[Duration, AfterValidator(_check_positive)]
"""A duration over zero."""
_KEY: Final = (
    "A template over `event` and `params`. Events are gathered separately for each value. If it "
    "cannot be evaluated, the event is left out and the reason is recorded. Default: all events "
    "are gathered together."
)


class EventPart(EventPattern):
    """One of the events that a trigger waits for; at least one condition is required."""

    @model_validator(mode="after")
    def _names_events(self) -> "EventPart":
        if not self.names_events:
            raise ValueError(NAMES_NO_EVENT)
        return self


class NamedPart(EventPart):
    """One of the events in a list that a trigger waits for; at least one condition is required."""

    name: Name | None = Field(
        default=None,
        description="The part's name in verdicts. Default: its position in the list, from 1; "
        "reasons then show its type.",
        examples=["payment"],
    )


Parts = Annotated[tuple[NamedPart, ...], Field(strict=False, min_length=2, max_length=_MAX_PARTS)]


class Debounce(Manifest):
    """Start one run for events that follow each other closely. The run sees all of them."""

    for_: PositiveDuration = Field(
        alias="for",
        description="The trigger is due when no further event has come for this long.",
        examples=["10s"],
    )
    key: str | None = Field(default=None, description=_KEY, examples=["${ event.data.id }"])
    max: PositiveDuration | None = Field(
        default=None,
        description="The longest wait, counted from the first event. Default: no limit. With "
        f"{MOST_EVENTS:,} events, the trigger is due at once.",
        examples=["1m"],
    )

    @field_validator("max")
    @classmethod
    def _check_max(cls, longest: timedelta | None, info: ValidationInfo) -> timedelta | None:
        quiet = info.data.get("for_")
        if longest is not None and quiet is not None and longest < quiet:
            shown = format_duration(quiet)
            raise ValueError(f"{format_duration(longest)} is shorter than for ({shown})")
        return longest


class Batch(Manifest):
    """Start one run for many events."""

    size: int = Field(
        ge=1,
        le=MOST_EVENTS,
        description="The trigger is due when this many events have come.",
        examples=[100],
    )
    within: PositiveDuration = Field(
        description="The longest wait, counted from the first event. After it, the trigger is due "
        "with fewer events.",
        examples=["30s"],
    )
    key: str | None = Field(default=None, description=_KEY, examples=["${ event.data.region }"])


class Absence(Manifest):
    """Start a run when an expected event does not come. The run sees the `after` event."""

    after: EventPart = Field(
        description="The event after which another event is expected.",
        examples=[{"type": "order.created"}],
    )
    of: EventPart = Field(
        description="The expected event. It may be the same as `after`, for a heartbeat.",
        examples=[{"type": "order.paid"}],
    )
    within: PositiveDuration = Field(
        description="How long to wait for the expected event.", examples=["2h"]
    )
    key: str | None = Field(default=None, description=_KEY, examples=["${ event.data.orderId }"])
