"""Runs and their tasks: admission, concurrency, the next tasks, and the rows a change writes."""
