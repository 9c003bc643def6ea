"""Runs and their tasks: admission, concurrency, progress, what each change records."""
