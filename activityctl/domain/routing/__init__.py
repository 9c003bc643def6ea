"""Routing: finds the triggers that match an event, explains the others, and makes firings."""
