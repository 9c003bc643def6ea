"""ActivityBody: the body of the task kind `activity`, which runs another automation."""

from typing import Final

from pydantic import ConfigDict, Field

from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.text import FilledText

ACTIVITY: Final = "activity"
"""The key of the kind in YAML."""
MAX_DEPTH: Final = 10
"""How many runs deep activities may start one another."""


class ActivityBody(Manifest):
    """Runs another subscription and waits for the end of that run."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"subscription": "refund", "payload": {"order": "${ event.data.id }"}}]
        }
    )

    subscription: FilledText = Field(
        description="The name of the subscription to run. Its definition and params are those of "
        "the moment at which the run starts.",
        examples=["refund"],
    )
    payload: dict[str, JsonValue] = Field(
        default={},
        description="What expressions of that run read as `trigger.payload`.",
        examples=[{"order": "${ event.data.id }"}],
    )
    wait: bool = Field(
        default=True,
        description="Whether to wait for the end of that run. If not, the task succeeds when the "
        "run is recorded. Default: true.",
        examples=[False],
    )
    timeout: LimitDuration | None = Field(
        default=None,
        description="How long to wait. When the time is up, the task fails and the run is "
        "cancelled. Default: only the run's timeout ends the wait.",
        examples=["2h"],
    )
