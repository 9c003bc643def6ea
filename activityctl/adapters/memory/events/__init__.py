"""The archive of events and their routing, in memory."""
