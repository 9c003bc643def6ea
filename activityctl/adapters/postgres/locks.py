"""The numbers of Postgres advisory locks that several stores take."""

from typing import Final

CATALOG_LOCK: Final = 0x61637470
"""Held alone by who changes the catalog, shared by runs that pause their subscription."""
