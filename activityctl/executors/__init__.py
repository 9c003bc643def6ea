"""Executors of tasks and context sources: one file for each kind, named as in YAML."""
