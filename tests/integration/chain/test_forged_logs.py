"""Only who writes the readings of chains can say that a chain has a log: it may move money."""

import json

import psycopg
import pytest

from activityctl.adapters.postgres.rights import Role
from activityctl.domain.values import ids
from support.logins import url_as
from support.stored_events import DOCUMENT, add_event

LOG = {**DOCUMENT, "type": "chain.log", "source": "eip155:1", "chainfeed": "1/0"}
ESCAPED = json.dumps(LOG).replace("chainfeed", "chain\\u0066eed")


def test_the_database_refuses_logs_of_chains_from_everybody_but_a_worker(database_url: str):
    columns = {"type": "chain.log", "source": "eip155:1", "id": ids.event_id("eip155:1", "x")}
    with psycopg.connect(url_as(database_url, Role.EMIT), autocommit=True) as emitter:
        for document in (LOG, {**LOG, "chainfeed": None}, ESCAPED):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="logs of chains"):
                emitter.execute(add_event(document, **columns).encode())
        inside = {**LOG, "data": {"chainfeed": "1/0"}}
        del inside["chainfeed"]
        emitter.execute(add_event(inside, **columns).encode())  # no chain trigger listens to it
    with psycopg.connect(url_as(database_url, Role.WORKER), autocommit=True) as worker:
        own = {**columns, "id": ids.event_id("eip155:1", "y"), "event_id": "y"}
        worker.execute(add_event({**LOG, "id": "y"}, **own).encode())
        stored = worker.execute("SELECT event_id FROM events ORDER BY place").fetchall()
    assert stored == [("x",), ("y",)]
