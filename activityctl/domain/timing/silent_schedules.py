"""The rules for silent alarms: those that exist in Temporal but stopped waking us."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from activityctl.domain.timing.alarm import Alarm

SILENT_AFTER: Final = 2
"""So many nominal times in a row for which only the overdue scanner woke us make it silent.

A single one may be an outage of Temporal. The cause is issue 11869 of the Temporal server: a
schedule stops although its next run time looks right.
"""
_AROUND: Final = timedelta(hours=4)
"""The server skips or doubles times within three hours around a clock change."""


def has_no_clock_change(alarm: Alarm, now: datetime) -> bool:
    """Return whether no clock change of the alarm's zone is near, which could explain silence."""
    zone = ZoneInfo(alarm.timezone)
    before, after = ((now + shift).astimezone(zone).utcoffset() for shift in (-_AROUND, _AROUND))
    return before == after
