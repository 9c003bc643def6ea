"""Runs, tasks and gates."""
