"""activityctl runs durable automations that are defined in git."""
