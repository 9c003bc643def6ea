"""The check of startAt and endAt against a schedule: some time lies between; no clock."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.trigger import CLOCK_KINDS, CronTrigger, trigger_of
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def check_bounds(kind: str, body: JsonValue) -> Iterator[Finding]:
    """Find bounds that leave a sound trigger no time at all; an endAt in the past is none.

    A cron trigger with allowNever may have none.
    """
    if kind not in CLOCK_KINDS:
        return
    trigger = trigger_of(kind, body)
    bounds = {"startAt": trigger.start_at, "endAt": trigger.end_at}
    written = [name for name, bound in bounds.items() if bound is not None]
    allows_none = isinstance(trigger, CronTrigger) and trigger.allow_never
    if not written or allows_none or next(nominal_times(trigger, _EPOCH), None) is not None:
        return
    reason = f"it would never fire: none of its times lies within {' and '.join(written)}"
    if isinstance(trigger, CronTrigger):
        reason += "; write allowNever: true if that is meant"
    yield Finding((written[-1],), reason)
