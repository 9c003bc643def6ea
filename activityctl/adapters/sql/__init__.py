"""Databases of users, for `sql` tasks and context sources."""
