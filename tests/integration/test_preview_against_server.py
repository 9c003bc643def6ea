"""The preview of due times against the real server's own list of matching times."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import Client

from activityctl.adapters.temporal.schedules import TemporalSchedulePlacer
from activityctl.domain import ids
from activityctl.domain.firing import nominal_times
from activityctl.domain.plan import WantedSchedule
from activityctl.domain.trigger import trigger_of

SERVER_LIMIT = 1_000
"""The server lists no more matching times than this."""

CASES = [
    # schedule, zone, from, days
    ("0 2 * * 1-5", "UTC", "2026-01-01", 366),
    ("*/5 * * * *", "UTC", "2026-11-21", 3),
    ("10-40/7 8-18/2 * * *", "UTC", "2026-11-21", 20),
    ("0 0 13 * 5", "UTC", "2026-01-01", 366),
    ("0 12 1,15 * mon", "Europe/Berlin", "2026-01-01", 366),
    ("0 0 13,14 * 0-6", "UTC", "2026-01-01", 60),
    ("0 0 */2 * 1", "UTC", "2026-01-01", 366),
    ("0 0 10-20 * */3", "UTC", "2026-01-01", 366),
    ("0 0 * * 5-7", "UTC", "2026-01-01", 100),
    ("0 0 29 2 *", "UTC", "2026-01-01", 365 * 90),
    ("0 0 29 2 */6", "UTC", "2026-01-01", 365 * 90),
    ("0 0 31 * *", "UTC", "2026-01-01", 800),
    ("59 23 31 12 *", "Pacific/Kiritimati", "2026-01-01", 2000),
    ("@hourly", "Asia/Kathmandu", "2026-11-21", 10),
    ("@weekly", "America/New_York", "2026-01-01", 366),
    ("@yearly", "Asia/Tokyo", "2026-01-01", 4000),
    ("30 2 * * *", "Europe/Berlin", "2026-01-01", 730),
    ("30 2 * * *", "America/New_York", "2026-01-01", 730),
    ("*/20 * * * *", "Europe/Berlin", "2026-10-24", 3),
    ("*/20 * * * *", "America/New_York", "2026-10-31", 3),
    ("15,45 0-3 * * *", "Europe/London", "2026-03-01", 60),
    ("15,45 0-3 * * *", "Europe/London", "2026-10-01", 60),
    ("10 1 * * *", "Europe/Berlin", "2026-10-01", 60),
    ("*/15 1-2 * * *", "Australia/Lord_Howe", "2026-03-20", 30),
    ("*/15 1-2 * * *", "Australia/Lord_Howe", "2026-09-20", 30),
    ("*/30 23,0,1 * * sun", "America/Havana", "2026-03-01", 20),
    ("*/30 23,0,1 * * sat,sun", "America/Havana", "2026-10-20", 30),
    ("*/30 23,0 * * *", "Africa/Cairo", "2026-04-15", 20),
    ("*/30 22-23,0 * * *", "Africa/Cairo", "2026-10-20", 20),
    ("0 3 1-7 * 0", "America/Santiago", "2026-01-01", 400),
    ("0 1 * * 4-6", "America/Santiago", "2026-08-23", 30),  # the skipped midnight of a Sunday
    ("30 1 * * *", "Antarctica/Troll", "2026-01-01", 366),
    ("0 */6 * * *", "Pacific/Apia", "2026-01-01", 200),
]


@pytest.fixture(scope="session")
def dev_server_address() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    binary = str(Path(sys.executable).with_name("temporal"))
    server = subprocess.Popen(
        [binary, "server", "start-dev", "--headless", "--port", port, "--log-level", "error"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
async def client(dev_server_address: str) -> Client:
    deadline = time.monotonic() + 15
    while True:
        try:
            return await Client.connect(dev_server_address)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def _server_times(
    client: Client, wanted: WantedSchedule, start: datetime, end: datetime
) -> list[datetime]:
    await TemporalSchedulePlacer(client).place(wanted, paused=True)
    request = ListScheduleMatchingTimesRequest(
        namespace=client.namespace,
        schedule_id=wanted.id,
        start_time=_stamp(start),
        end_time=_stamp(end),
    )
    answer = await client.workflow_service.list_schedule_matching_times(request)
    return [stamp.ToDatetime(UTC) for stamp in answer.start_time]


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


async def _compare(client: Client, kind: str, body: dict[str, str], start: str, days: int) -> None:
    after = datetime.fromisoformat(start).replace(tzinfo=UTC) - timedelta(seconds=1)
    end = after + timedelta(days=days)
    subscription = ids.subscription_id(f"preview-{start}-{sorted(body.items())}")
    wanted = WantedSchedule(ids.schedule_id(subscription, "due"), subscription, "due", kind, body)
    theirs = await _server_times(client, wanted, after, end)
    ours = takewhile(lambda one: one <= end, nominal_times(trigger_of(kind, body), after))
    assert list(islice(ours, SERVER_LIMIT)) == theirs
    assert theirs


@pytest.mark.parametrize(("schedule", "zone", "start", "days"), CASES)
async def test_the_preview_of_cron_is_what_the_server_fires(
    client: Client, schedule: str, zone: str, start: str, days: int
):
    await _compare(client, "cron", {"schedule": schedule, "timezone": zone}, start, days)


@pytest.mark.parametrize(
    ("every", "offset"), [("7s", "0s"), ("90m", "20m"), ("7d", "1d3h"), ("36h", "1s")]
)
async def test_the_preview_of_intervals_is_what_the_server_fires(
    client: Client, every: str, offset: str
):
    await _compare(client, "interval", {"every": every, "offset": offset}, "2026-11-21", 60)
