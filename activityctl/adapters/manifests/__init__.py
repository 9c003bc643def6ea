"""Readers of files: manifests (strict YAML), events (strict JSON), calendars (iCalendar)."""
