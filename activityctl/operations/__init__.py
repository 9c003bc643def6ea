"""Verbs: one operator intent a file."""
