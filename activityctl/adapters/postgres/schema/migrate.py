"""Migrates the schema of a database to the newest version; there is no way back."""

from importlib.resources import files
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

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
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})
    config = alembic_config()
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK_KEY})
            connection.commit()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK_KEY})
    except OperationalError as error:
        raise UnreachableError(f"Postgres does not answer: {error.orig}") from error
    finally:
        engine.dispose()
