"""Runs, tasks, gates and logs."""
