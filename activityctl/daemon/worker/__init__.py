"""The worker process and the work of its background loops."""
