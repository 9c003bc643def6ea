"""ManualBody: the body of the task kind `manual`, which waits for a person."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from activityctl.domain.tasks.wait import parse_precise_moment
from activityctl.domain.values.duration import Duration, format_duration, parse_duration
from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.text import Text

MANUAL: Final = "manual"
"""The key of the kind in YAML."""
_SHORTEST_REMINDER: Final = timedelta(seconds=1)
_YEAR: Final = re.compile("[0-9]{4}-")


def _parse_due(text: object) -> timedelta | datetime:
    if not isinstance(text, str):
        raise ValueError("should be a duration such as 2d, or a time such as 2026-12-31T18:00:00Z")  # noqa: TRY004  # pydantic turns ValueError alone into a finding
    if _YEAR.match(text):
        return parse_precise_moment(text)
    duration = parse_duration(text)
    if not duration:
        raise ValueError("should be longer than 0s")
    return duration


Due = Annotated[
    timedelta | datetime, BeforeValidator(_parse_due), WithJsonSchema({"type": "string"})
]
"""A duration from the start of a task, or a point in time."""


def _check_reminder(duration: timedelta) -> timedelta:
    if duration < _SHORTEST_REMINDER:
        raise ValueError(f"should be at least {format_duration(_SHORTEST_REMINDER)}")
    return duration


ReminderDuration = Annotated[Duration, AfterValidator(_check_reminder)]
"""The time between two reminders."""


class DefaultOutput(Manifest):
    """The output of a task whose time is over."""

    output: JsonValue = Field(
        description="What later tasks read as its output.", examples=[{"verdict": "approve"}]
    )


OnTimeout = Literal["fail"] | DefaultOutput
"""What becomes of a task whose time is over: it fails, or succeeds with a default output."""


class ManualBody(Manifest):
    """Waits until a person completes the task with `activityctl complete`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"assignee": "fraud-team", "instructions": "Check it.", "due": "2d"}]
        }
    )

    assignee: Text | None = Field(
        default=None,
        description="The person or team who has to complete the task. It is shown and can be "
        "listed by; anybody with access can complete it. Default: nobody in particular.",
        examples=["fraud-team"],
    )
    instructions: Text = Field(
        default="",
        description="What the person has to do.",
        examples=["Check order ${ event.data.id }."],
    )
    due: Due | None = Field(
        default=None,
        description="Until when the task has to be completed: a duration from its start, or a "
        "point in time. Default: only the run's timeout ends the wait.",
        examples=["2d", "2026-12-31T18:00:00Z"],
    )
    reminder: ReminderDuration | None = Field(
        default=None,
        description="After each such time without an answer, an event of the type "
        "`activityctl.task.reminder` is emitted. Default: never.",
        examples=["4h"],
    )
    on_timeout: OnTimeout = Field(
        default="fail",
        description="What happens when nobody has completed the task by `due`: `fail`, or "
        "`{output: …}` to go on with that output. Default: fail.",
        examples=["fail", {"output": {"verdict": "approve"}}],
    )
    form: dict[str, Any] = Field(
        default={},
        description="A JSON Schema (draft 2020-12) of the output. An answer that does not fit is "
        "refused, and `complete` asks for its fields one by one. Default: the fields that other "
        "expressions read of the output, or any output; `{}` takes any.",
        examples=[
            {"type": "object", "properties": {"verdict": {"enum": ["approve", "reject"]}}},
        ],
    )

    def ends_at(self, now: datetime) -> datetime | None:
        """Return when the wait ends that begins now; None if it has no due time."""
        return now + self.due if isinstance(self.due, timedelta) else self.due
