"""The archive of events and their routing."""
