"""A twin of each port, in memory, for tests that need no server."""
