"""Commands that start, stop and check the local daemon, a worker and the API."""
