"""Schedules, due times, waiting firings and backfills."""
