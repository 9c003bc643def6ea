"""WaitForBody: the body of the task kind `waitFor`, which waits for an event."""

from collections.abc import Iterator
from typing import Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from activityctl.domain.cel.expression import has_expression
from activityctl.domain.cel.static_type import StaticType
from activityctl.domain.events.gathering_options import NAMES_NO_EVENT
from activityctl.domain.events.pattern import EventPattern, check_event_pattern
from activityctl.domain.tasks.manual import OnTimeout
from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue

WAIT_FOR: Final = "waitFor"
"""The key of the kind in YAML."""
_NO_TEMPLATE: Final = (
    "cannot use ${ … }: put values of the run into match, such as data.orderId: ${ event.data.id }"
)


class WaitForBody(EventPattern):
    """Waits for an event that fulfils all conditions. The event is the output of the task.

    Values of `match` may be templates over the run. `filter` is a condition over the awaited
    event and the params, as in a trigger.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "payment.received", "match": {"data.orderId": "${ event.data.id }"}}
            ]
        }
    )

    timeout: LimitDuration | None = Field(
        default=None,
        description="How long to wait, from the start of the task. Default: only the run's timeout "
        "ends the wait.",
        examples=["2d"],
    )
    on_timeout: OnTimeout = Field(
        default="fail",
        description="What happens when no such event has come in time: `fail`, or `{output: …}` "
        "to go on with that output. Default: fail.",
        examples=["fail", {"output": None}],
    )
    since: Literal["run", "task"] = Field(
        default="run",
        description="From when on an event counts: `run`, also if it came before the task began, "
        "or `task`, only if it came after. Default: run.",
        examples=["task"],
    )

    @model_validator(mode="after")
    def _names_events(self) -> Self:
        if not self.names_events:
            raise ValueError(NAMES_NO_EVENT)
        return self


PATTERN_FIELDS: Final = ("type", "source", "subject", "match", "filter")
"""The fields of the body that say which events match."""


def check_wait_for(body: JsonValue, params: StaticType) -> Iterator[Finding]:
    """Yield what is wrong with the filter of a body, and templates where none may be.

    A filter comes from the author alone: a value of a run could change what it means.
    """
    if isinstance(body, str) and has_expression(body):
        yield Finding((), "cannot be a template as a whole: write its fields")
    if not isinstance(body, dict) or not isinstance(body.get("filter"), str):
        return
    if has_expression(body["filter"]):
        yield Finding(("filter",), _NO_TEMPLATE)
    else:
        yield from check_event_pattern(EventPattern(filter=body["filter"]), params)
