"""When a schedule counts as silent: it stopped waking us although Temporal holds it."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from activityctl.domain.timing.alarm import alarm_of
from activityctl.domain.timing.trigger import Trigger

SILENT_AFTER: Final = 2
"""So many nominal times in a row at which the timekeeper alone woke us.

One may be an outage of Temporal. Source of the fault: the server's issue 11869, a schedule
that stops while its next run time looks right.
"""
_AROUND: Final = timedelta(hours=4)
"""The server leaves out or doubles times of up to three hours around a change of the clocks."""


def has_no_clock_change(trigger: Trigger, now: datetime) -> bool:
    """Whether no change of the trigger's clocks is near, which would explain silence."""
    zone = ZoneInfo(alarm_of(trigger).timezone)
    before, after = ((now + shift).astimezone(zone).utcoffset() for shift in (-_AROUND, _AROUND))
    return before == after
