"""Adapters of Temporal: the client, schedules, and starting and cancelling runs."""
