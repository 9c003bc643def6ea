"""The tables, declared once; migrations realise them and a test holds that both are equal.

Stores speak SQL to them through psycopg; nothing here is imported by a command that only reads.
"""

from sqlmodel import SQLModel

from activityctl.adapters.postgres.schema import catalog_tables, columns, event_tables, run_tables

DECLARED = (columns, catalog_tables, event_tables, run_tables)
"""Importing them is what makes `metadata` complete."""
metadata = SQLModel.metadata
