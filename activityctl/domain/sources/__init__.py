"""Web hooks: how a request of a stranger is verified, and how it becomes events."""
