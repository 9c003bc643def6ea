"""All declared tables. The migrations create them, and a test checks that both are equal.

The stores use SQL through psycopg; no command imports this module to read or write data.
"""

from sqlmodel import SQLModel

from activityctl.adapters.postgres.schema import (
    access_tables,
    catalog_tables,
    chain_tables,
    columns,
    event_tables,
    guard_tables,
    hook_tables,
    lock_tables,
    log_tables,
    notice_tables,
    relay_tables,
    run_tables,
    schedule_tables,
    source_tables,
    wait_tables,
)

DECLARED = (
    columns,
    catalog_tables,
    event_tables,
    schedule_tables,
    run_tables,
    guard_tables,
    log_tables,
    wait_tables,
    hook_tables,
    lock_tables,
    notice_tables,
    chain_tables,
    relay_tables,
    access_tables,
    source_tables,
)
"""The import of these modules completes `metadata`."""
metadata = SQLModel.metadata
