"""Streams of the log by server-sent events, which share the reading of the log."""
