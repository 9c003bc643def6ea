"""WaitBody: the body of the task kind `wait`, which waits for a time."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.model import Manifest
from activityctl.domain.values.moment import parse_moment

WAIT: Final = "wait"
"""The key of the kind in YAML."""
_FRACTION: Final = re.compile(r"(?<=:[0-9]{2})\.([0-9]{1,9})(?=Z|z|[+-]|$)")
"""The fraction of a second, which the times of events often have."""


def parse_precise_moment(text: object) -> datetime:
    """Return the point in time of an RFC 3339 text, with its fraction of a second.

    Raise ValueError as `parse_moment` does.
    """
    found = _FRACTION.search(text) if isinstance(text, str) else None
    if found is None or not isinstance(text, str):
        return parse_moment(text)
    microseconds = int(found[1][:6].ljust(6, "0"))
    return parse_moment(_FRACTION.sub("", text)) + timedelta(microseconds=microseconds)


PreciseMoment = Annotated[
    datetime,
    BeforeValidator(parse_precise_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A point in time that may have a fraction of a second, as the times of events have."""


class WaitBody(Manifest):
    """Waits for some time, or until a point in time. No worker is busy meanwhile."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"for": "10m"}]})

    for_: LimitDuration | None = Field(
        default=None,
        alias="for",
        description="How long to wait, from the start of the task.",
        examples=["10m"],
    )
    until: PreciseMoment | None = Field(
        default=None,
        description="Wait until this point in time. If it has passed, the task ends at once.",
        examples=["2026-12-31T18:00:00Z", "${ event.data.startsAt }"],
    )

    @model_validator(mode="after")
    def _says_how_long(self) -> Self:
        if (self.for_ is None) == (self.until is None):
            raise ValueError("write either for or until: how long, or until when to wait")
        return self

    def ends_at(self, now: datetime) -> datetime:
        """Return when the wait ends that begins now."""
        if self.until is not None:
            return max(self.until, now)
        return now + (self.for_ or timedelta())
