"""The worker process and its loops."""
