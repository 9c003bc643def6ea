"""The numbers of the advisory locks that several stores take."""

from typing import Final

CATALOG_LOCK: Final = 0x61637470
"""Taken exclusively to change the catalog, and shared by runs that pause their subscription."""
