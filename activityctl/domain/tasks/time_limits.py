"""TaskTimeout: the time limits of a task, of one attempt and of all attempts together."""

from datetime import timedelta
from typing import Self

from pydantic import Field, ValidationInfo, model_validator

from activityctl.domain.values.duration import LimitDuration, format_duration
from activityctl.domain.values.model import Manifest, is_written


class TaskTimeout(Manifest):
    """The time limits of a task."""

    start_to_close: LimitDuration = Field(
        default=timedelta(minutes=10),
        description="How long one attempt may take. Default: 10m.",
        examples=["30s"],
    )
    schedule_to_start: LimitDuration | None = Field(
        default=None,
        description="How long the task may wait for a free worker. When the time is up, the task "
        "fails without a retry. Default: no limit.",
        examples=["10m"],
    )
    heartbeat: LimitDuration | None = Field(
        default=None,
        description="How long an attempt may show no progress. Of a `command`, each output is "
        "progress. Other kinds of activityctl report none. Default: no limit.",
        examples=["1m"],
    )
    total: LimitDuration | None = Field(
        default=None,
        description="How long the task may take in all: every attempt, and every wait before and "
        "between them. Default: no limit but the timeout of the run.",
        examples=["1h"],
    )

    @model_validator(mode="after")
    def _are_in_order(self, info: ValidationInfo) -> Self:
        if not is_written(info):
            return self
        longest = min(self.start_to_close, self.total or self.start_to_close)
        if self.heartbeat is not None and self.heartbeat >= longest:
            shown = format_duration(longest)
            raise ValueError(f"heartbeat has no effect: an attempt takes at most {shown}")
        return self
