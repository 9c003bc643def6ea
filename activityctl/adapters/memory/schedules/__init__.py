"""Schedules, the ledger of due times, firings that wait, backfills, in memory."""
