"""Definitions, subscriptions, calendars and their history."""
