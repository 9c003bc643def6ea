"""Stored events, their routing and gatherings."""
