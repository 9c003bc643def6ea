"""Emit, explain and replay events."""
