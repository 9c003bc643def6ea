"""What a person writes in YAML: definitions, subscriptions, calendars, their checks and schemas."""
