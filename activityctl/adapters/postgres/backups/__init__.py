"""Backups of the database: taking one with pg_dump, and loading one with pg_restore and psql."""
