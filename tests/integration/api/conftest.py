"""One server of the HTTP API for all tests of this folder, on a database of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from activityctl.settings import Secret, Settings
from support.api_server import Api, running_api


@pytest.fixture(scope="session")
def api_settings(
    servers: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    folder: Path = tmp_path_factory.mktemp("api")
    server = servers["database_url"].rsplit("/", 1)[0]
    name = sql.Identifier(f"api_{os.getpid()}")
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE activityctl STRATEGY FILE_COPY").format(name)
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(copy)
    yield Settings(home=folder, database_url=Secret(f"{server}/api_{os.getpid()}"))
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture(scope="session")
def api(api_settings: Settings) -> Iterator[Api]:
    with running_api(api_settings) as running:
        yield running
