"""Tokens of the HTTP API, and the record of what was changed."""
