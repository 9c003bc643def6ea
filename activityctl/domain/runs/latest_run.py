"""LatestRun: the newest run of a subscription, without its params, context and outputs."""

from datetime import datetime

from activityctl.domain.runs.run import RunStatus
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class LatestRun:
    """What a list of subscriptions shows of the newest run of each."""

    id: str
    status: RunStatus
    trigger: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    is_stuck: bool = False
    """Whether it is open and the code of its workflow cannot go on."""
