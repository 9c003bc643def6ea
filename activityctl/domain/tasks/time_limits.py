"""TaskTimeout: the time limits of a task."""

from datetime import timedelta

from pydantic import Field

from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.model import Manifest


class TaskTimeout(Manifest):
    """The time limits of one attempt."""

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
