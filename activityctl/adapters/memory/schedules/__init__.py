"""Schedules, due times, waiting firings and backfills, in memory."""
