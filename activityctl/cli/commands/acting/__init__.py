"""Commands that start, stop and repeat runs, and store events."""
