"""Migrates the schema of a database to the newest version; there is no way back."""

from importlib.resources import files
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from activityctl.adapters.postgres.connection_url import secured
from activityctl.errors import UnreachableError

_LOCK_KEY: Final = 0x61637469  # "acti": every process migrates under this lock


def alembic_config() -> Config:
    """Return the configuration of Alembic; the migrations are part of the package."""
    config = Config()
    config.set_main_option("script_location", str(files(__package__) / "migrations"))
    return config


def migrate(database_url: str) -> None:
    """Upgrade the schema to its newest version; a second call changes nothing.

    Holds an advisory lock, so that processes that start at the same time wait for one another.
    Raises UnreachableError when Postgres does not answer.
    """
    conninfo = secured(database_url)
    engine = create_engine(
        "postgresql+psycopg://",
        poolclass=NullPool,
        creator=lambda: psycopg.connect(conninfo, connect_timeout=5),
    )
    config = alembic_config()
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK_KEY})
            connection.commit()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK_KEY})
    except (OperationalError, psycopg.OperationalError) as error:
        reason = getattr(error, "orig", error)
        raise UnreachableError(f"Postgres does not answer: {reason}") from error
    finally:
        engine.dispose()
