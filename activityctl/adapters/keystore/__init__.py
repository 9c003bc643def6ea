"""Readers of secrets: the system's key store, and files."""
