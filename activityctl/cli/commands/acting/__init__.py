"""Commands that act on subscriptions, runs and events."""
