"""Events: the envelope, event triggers and patterns, and gatherings of several events."""
