"""Runs, tasks, gates and logs, in memory."""
