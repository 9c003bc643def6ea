"""Tokens of other issuers: reads who is believed, fetches their keys, verifies signatures."""
