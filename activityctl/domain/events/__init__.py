"""Events: the envelope, the triggers and patterns that name them, and how triggers gather them."""
