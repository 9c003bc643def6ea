"""Checks that startAt and endAt leave a trigger at least one nominal time; uses no clock."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.trigger import CLOCK_KINDS, CronTrigger, trigger_of
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def check_bounds(kind: str, body: JsonValue) -> Iterator[Finding]:
    """Find bounds that leave a valid trigger without any nominal time since 1970.

    An endAt in the past is allowed. A cron trigger with allowNever may have no time at all.
    """
    if kind not in CLOCK_KINDS:
        return
    trigger = trigger_of(kind, body)
    bounds = {"startAt": trigger.start_at, "endAt": trigger.end_at}
    written = [name for name, bound in bounds.items() if bound is not None]
    allows_none = isinstance(trigger, CronTrigger) and trigger.allow_never
    if not written or allows_none or next(nominal_times(trigger, _EPOCH), None) is not None:
        return
    reason = f"the trigger would never fire: {' and '.join(written)} exclude all its times"
    if isinstance(trigger, CronTrigger):
        reason += "; write allowNever: true if this is intended"
    yield Finding((written[-1],), reason)
