"""When a trigger is due: cron, intervals, time zones, windows, misfires and the preview."""
