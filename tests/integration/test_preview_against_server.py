"""Our due times compared with the matching times that the real Temporal server lists.

On days on which clocks change, the server has bugs; the correct times of those days are in the
tables of tests/unit/domain/timing.
"""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import Client

from activityctl.adapters.temporal.schedules import TemporalScheduleClient
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.timing.alarm import Alarm, alarm_of
from activityctl.domain.timing.cron import parse_cron
from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.trigger import trigger_of
from activityctl.domain.values import ids
from support.examples import examples

SERVER_LIMIT = 1_000
"""The server lists at most this many matching times."""

DAY = timedelta(days=1)
ZONES = sorted(
    zone
    for zone in available_timezones()
    if "/" in zone and not zone.startswith(("Etc/", "SystemV/", "posix/", "right/"))
)


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
    deadline = time.monotonic() + 90
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
    alarm_id = f"alarm/{wanted.id}"  # of the test alone: others have the same timing
    await TemporalScheduleClient(client).create_or_update(alarm_id, bounded(wanted))
    request = ListScheduleMatchingTimesRequest(
        namespace=client.namespace,
        schedule_id=alarm_id,
        start_time=_stamp(start),
        end_time=_stamp(end),
    )
    answer = await client.workflow_service.list_schedule_matching_times(request)
    return [stamp.ToDatetime(UTC) for stamp in answer.start_time]


def bounded(wanted: WantedSchedule) -> Alarm:
    """Return its alarm with the bounds that Postgres keeps, so that the server knows them too."""
    trigger = wanted.value
    return replace(alarm_of(trigger), start_at=trigger.start_at, end_at=trigger.end_at)


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _wanted(kind: str, body: dict[str, str], start: datetime) -> WantedSchedule:
    subscription = ids.subscription_id(f"preview-{start}-{sorted(body.items())}")
    return WantedSchedule(ids.schedule_id(subscription, "due"), subscription, "due", kind, body)


@st.composite
def _field(draw: st.DrawFn, low: int, high: int) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        first = draw(st.integers(low, high - 1))
        last = draw(st.integers(first + 1, high))
        step = draw(st.integers(1, last - first))
        forms = [
            "*",
            f"*/{step}",
            f"{first}",
            f"{last}",
            f"{first}-{last}",
            f"{first}-{last}/{step}",
        ]
        parts.append(draw(st.sampled_from(forms)))
    return ",".join(parts)


def _sometimes(field: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), field)


SCHEDULES = st.tuples(
    _field(0, 59),
    _field(0, 23),
    _sometimes(_field(1, 31)),
    _sometimes(_field(1, 12)),
    _sometimes(_field(0, 6)),
).map(" ".join)


def _changes(zone: str, start: datetime, end: datetime) -> list[datetime]:
    local, hour = ZoneInfo(zone), timedelta(hours=1)
    hours = [start + count * hour for count in range(int((end - start) / hour))]
    offsets = [moment.astimezone(local).utcoffset() for moment in hours]
    return [
        moment
        for moment, offset, following in zip(hours, offsets, offsets[1:], strict=False)
        if offset != following
    ]


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    schedule=SCHEDULES,
    zone=st.sampled_from(ZONES),
    start=st.datetimes(datetime(2000, 1, 2), datetime(2035, 1, 1)),  # noqa: DTZ001 made aware below
)
async def test_cron_times_equal_those_of_the_server_except_when_clocks_change(
    client: Client, schedule: str, zone: str, start: datetime
):
    assume(not parse_cron(schedule).never_fires)
    start = start.replace(microsecond=0, tzinfo=UTC)
    end = start + 730 * DAY
    body = {"schedule": schedule, "timezone": zone}
    theirs = await _server_times(client, _wanted("cron", body, start), start, end)
    if len(theirs) == SERVER_LIMIT:
        end = theirs[-1]
    ours = list(takewhile(lambda due: due <= end, nominal_times(trigger_of("cron", body), start)))
    changes = _changes(zone, start - DAY, end + DAY)

    def is_far_from_changes(moment: datetime) -> bool:
        return all(abs(moment - change) > DAY for change in changes)

    assert list(filter(is_far_from_changes, ours)) == list(filter(is_far_from_changes, theirs))


@pytest.mark.parametrize(
    ("every", "offset"), [("7s", "0s"), ("90m", "20m"), ("7d", "1d3h"), ("36h", "1s")]
)
async def test_interval_times_equal_those_of_the_server(client: Client, every: str, offset: str):
    start = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
    end = start + 60 * DAY
    body = {"every": every, "offset": offset}
    theirs = await _server_times(client, _wanted("interval", body, start), start, end)
    ours = takewhile(lambda due: due <= end, nominal_times(trigger_of("interval", body), start))
    assert list(islice(ours, SERVER_LIMIT)) == theirs
    assert theirs
