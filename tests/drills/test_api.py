"""The HTTP server killed amid posts: what it has acknowledged is stored, and a repeat adds nothing.

    DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_api.py -rP

repeats the drill with the seed that an earlier one printed; DRILL_FULL=1 posts 5,000 events.
"""

import asyncio
import json
import os
import random
import re
import subprocess
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psycopg

from activityctl import wiring
from activityctl.domain.access.scope import parse_scope
from activityctl.operations.access.tokens import create_token
from activityctl.settings import Settings
from support.drilled import seed
from support.forked import COMMAND

FULL = os.environ.get("DRILL_FULL") == "1"
EVENTS = 5_000 if FULL else 300
KILLS = 5 if FULL else 1
PATIENCE = 900.0 if FULL else 120.0


def serve(settings: Settings, folder: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    """Start a server; return it with its URL."""
    environment = {
        "PATH": os.environ["PATH"],
        "ACTIVITYCTL_HOME": str(folder),
        "ACTIVITYCTL_DATABASE_URL": settings.required_database_url(),
    }
    process = subprocess.Popen(
        [str(COMMAND), "serve", "--port", str(port), "--rate", "100000"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    found = re.search(r"http://[\d.:]+", process.stderr.readline())
    assert found is not None
    return process, found[0]


async def test_what_the_killed_server_acknowledged_is_stored(
    settings: Settings, ports: wiring.Ports, tmp_path: Path
):
    chance = random.Random(seed())
    made = (uuid.uuid4().hex[:12], "s" * 43, str(uuid.uuid4()))
    scope = [parse_scope("emit:source=/drill")]
    now = datetime.now(UTC)
    _, token = await create_token(
        ports.tokens, ports.audit, "drill", scope, made, ttl=None, now=now, actor="drill"
    )
    process, url = serve(settings, tmp_path, 0)
    waiting = [str(number) for number in range(EVENTS)]
    acknowledged: set[str] = set()
    until = time.monotonic() + PATIENCE

    def post() -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with httpx.Client(headers=headers, timeout=30, trust_env=False) as client:
            while waiting and time.monotonic() < until:
                number = waiting.pop()
                event = {"specversion": "1.0", "id": number, "source": "/drill", "type": "posted"}
                try:
                    answer = client.post(f"{url}/v1/events", content=json.dumps(event))
                except httpx.TransportError:
                    waiting.append(number)
                    time.sleep(0.05)
                    continue
                assert answer.status_code == 200, answer.text
                acknowledged.add(number)

    posting = [threading.Thread(target=post) for _ in range(4)]
    for thread in posting:
        thread.start()
    try:
        for part in range(1, KILLS + 1):
            share = (part - chance.random()) / (KILLS + 1)
            while len(acknowledged) < EVENTS * share and time.monotonic() < until:
                await asyncio.sleep(0.01)
            process.kill()
            process.communicate()
            known = set(acknowledged)
            with psycopg.connect(settings.required_database_url()) as connection:
                rows = connection.execute("SELECT event_id FROM events").fetchall()
            assert known <= {row[0] for row in rows}
            process, _ = serve(settings, tmp_path, int(url.rpartition(":")[2]))
        for thread in posting:
            thread.join(PATIENCE)
    finally:
        waiting.clear()
        process.terminate()
        process.communicate()
    assert process.returncode == 0
    assert len(acknowledged) == EVENTS
    with psycopg.connect(settings.required_database_url()) as connection:
        counted = connection.execute("SELECT count(*), count(DISTINCT event_id) FROM events")
        assert counted.fetchone() == (EVENTS, EVENTS)
