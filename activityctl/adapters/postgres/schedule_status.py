"""The status of a schedule, as an expression of SQL."""

from typing import Final

SCHEDULE_STATUS: Final = """
    CASE WHEN NOT c.is_active THEN 'paused'
         WHEN a.observed_at IS NOT NULL OR c.next_at IS NULL AND c.alarm_id IS NOT NULL
             THEN 'active'
         WHEN a.error IS NOT NULL THEN 'error' ELSE 'pending' END"""
"""The status of the schedule `c` with the alarm `a`. What has ended needs no alarm."""
