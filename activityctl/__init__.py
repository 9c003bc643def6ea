"""activityctl makes automations durable and keeps them in git."""
