"""Runs, tasks, gates and the log, in memory."""
