"""Emit, explain and replay events, and wait for their results."""
