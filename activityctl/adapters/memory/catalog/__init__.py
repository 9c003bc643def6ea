"""Definitions, subscriptions, calendars and their history, in memory."""
