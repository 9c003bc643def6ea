"""Temporal: client, schedules, run starter."""
