"""Temporal workflows: they handle ids, states and deadlines, and leave decisions to steps."""
