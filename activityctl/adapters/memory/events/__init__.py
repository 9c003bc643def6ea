"""Stored events, their routing and gatherings, in memory."""
