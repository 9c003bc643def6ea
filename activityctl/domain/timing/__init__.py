"""Decides when a trigger is due: cron, intervals, time zones, windows, misfires, the preview."""
