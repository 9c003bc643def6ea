"""In-memory implementations of the ports, for tests that need no server."""
