"""Long-running processes: the supervisor of the local daemon, and the worker."""
