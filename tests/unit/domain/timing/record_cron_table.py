"""Ask a Temporal server for the times of cron expressions, and print them as cron_table.csv.

    cd tests/unit/domain/timing && python record_cron_table.py localhost:7233 > cron_table.csv

The server parses the cron text itself; none of our code is used. Times near clock changes are
left out, because there the server has faults; cron_table_dst.csv has the right times.
"""

import asyncio
import csv
import sys
import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest, ListScheduleMatchingTimesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
    ScheduleState,
)

OFTEN = [
    "* * * * *", "0 * * * *", "59 * * * *", "*/5 * * * *", "*/7 * * * *", "*/59 * * * *",
    "5,1,3 * * * *", "10-40/7 * * * *", "0-10,50-59 * * * *", "*/20,7 * * * *",
    "58,59,0 * * * *", "@hourly", "17 */3 * * *", "*/25 1-23/2 * * *",
]  # fmt: skip
DAILY = [
    "0 0 * * *", "0 23 * * *", "0 */6 * * *", "0 8-18/2 * * *", "30 0,12 * * *",
    "*/15 9-17 * * *", "15 22-23,0-2 * * *", "0 1-23/11 * * *", "5 04 * * *", "@daily",
    "59 23 * * *", "1 2,4,8,16 * * *", "45 3 */2 * *", "0 12 10-20/3 * *", "@midnight",
    "0 0 * * 7", "0 0 * * 1-5", "0 0 * * 5-7", "0 0 * * 0,3", "30 9 * * mon-wed,FRI",
    "0 2 * * 1-5", "0 17 * * fri", "*/20 4 * * 3,wed", "0 6 * * 2-6/2", "@weekly", "7 7 * * sun",
    "20 4 * * sat", "0 0 1,15 * *", "0 0 28-31 * *", "30 5 */10 * *", "0 9 * * */2",
]  # fmt: skip
SELDOM = [
    "0 0 1 * *", "0 0 31 * *", "0 0 30 * *", "0 0 29 * *", "@monthly", "0 0 1 */3 *",
    "0 0 1 JAN,jul *", "0 0 1 mar-may *", "0 0 1 Oct-dec/2 *", "0 0 29 2 *", "0 0 31 1,3,5 *",
    "59 23 31 12 *", "5 5 5 5 *", "0 0 28,29 2,3 *", "@yearly", "@annually", "0 0 29 2 */6",
    "0 0 1-7 * */2", "0 0 13 * */5", "0 0 */2 * 1", "0 0 */10 2 mon", "15 3 1,15 * */6",
    "0 12 * feb sun", "0 0 * 1-3 mon", "*/30 6 13 * *", "* * 1 6 *", "0 4 8-14 * *",
]  # fmt: skip
EITHER_DAY = {
    # The server requires both days to match, crontab(5) only one of them: so two expressions.
    "0 0 13 * 5": ("0 0 13 * *", "0 0 * * 5"),
    "0 12 1,15 * mon": ("0 12 1,15 * *", "0 12 * * mon"),
    "30 4 1-7 * 2": ("30 4 1-7 * *", "30 4 * * 2"),
    "0 0 31 2 1": ("0 0 31 2 *", "0 0 * 2 1"),
    "0 8 5 nov wed": ("0 8 5 nov *", "0 8 * nov wed"),
    "0 0 10-20/5 * tue-thu": ("0 0 10-20/5 * *", "0 0 * * tue-thu"),
    "0 0 30 * 0": ("0 0 30 * *", "0 0 * * 0"),
    "15 22 29 2 sat": ("15 22 29 2 *", "15 22 * 2 sat"),
}
STEADY = ["UTC", "Asia/Tokyo", "Etc/GMT+12", "Etc/GMT-14", "Asia/Kathmandu", "Asia/Kolkata"]
"""Zones whose clocks have not changed since 1990."""
ZONES = [
    *STEADY, "Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe",
    "Pacific/Apia", "America/St_Johns", "America/Caracas", "Asia/Pyongyang", "America/Havana",
    "Africa/Casablanca", "Europe/London", "America/Sao_Paulo", "Asia/Tehran", "Pacific/Chatham",
    "Pacific/Kiritimati", "Africa/Cairo", "Asia/Yangon", "Australia/Eucla", "Pacific/Marquesas",
]  # fmt: skip
STARTS = [
    "2024-02-27T23:59:59", "2023-06-15T11:02:00", "2025-12-30T06:30:00", "2016-04-30T23:00:00",
    "2022-08-31T12:00:00", "2024-12-31T00:00:00", "2019-01-01T00:00:00", "2021-05-09T17:45:10",
]  # fmt: skip
FAR_STARTS = ["2031-10-30T00:00:01", "2050-02-28T10:10:10", "2095-12-31T23:59:00"]
SHOWN = 4
SPAN = timedelta(days=365 * 40)
DAY = timedelta(days=1)


def _rows() -> set[tuple[str, str, str]]:
    rows = set()
    for number, text in enumerate([*OFTEN, *DAILY]):
        for step in range(6):
            zone = ZONES[(number * 6 + step) % len(ZONES)]
            rows.add((text, zone, STARTS[(number + 3 * step) % len(STARTS)]))
    for number, text in enumerate([*SELDOM, *EITHER_DAY]):
        for step in range(4):
            zone = STEADY[(number + step) % len(STEADY)]
            start = [*STARTS, *FAR_STARTS][(number + 3 * step) % 11]
            rows.add((text, zone, start))
    return rows


def _changes_within(zone: str, start: datetime, end: datetime) -> bool:
    local, hours = ZoneInfo(zone), int((end - start + 2 * DAY) / timedelta(hours=1))
    moments = (start - DAY + timedelta(hours=count) for count in range(hours + 1))
    return len({moment.astimezone(local).utcoffset() for moment in moments}) > 1


async def _server_times(client: Client, text: str, zone: str, start: datetime) -> list[datetime]:
    name = f"cron-table-{uuid.uuid4()}"
    spec = ScheduleSpec(cron_expressions=EITHER_DAY.get(text, (text,)), time_zone_name=zone)
    action = ScheduleActionStartWorkflow("none", id="none", task_queue="none")
    await client.create_schedule(name, Schedule(action, spec, state=ScheduleState(paused=True)))
    begin, end = Timestamp(), Timestamp()
    begin.FromDatetime(start)
    end.FromDatetime(start + SPAN)
    answer = await client.workflow_service.list_schedule_matching_times(
        ListScheduleMatchingTimesRequest(
            namespace=client.namespace, schedule_id=name, start_time=begin, end_time=end
        )
    )
    return [time.ToDatetime(UTC) for time in answer.start_time[:SHOWN]]


async def main(address: str) -> None:
    client = await Client.connect(address)
    info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["schedule", "zone", "after", "due", "source"])
    for text, zone, start_text in sorted(_rows()):
        start = datetime.fromisoformat(f"{start_text}+00:00")
        due = await _server_times(client, text, zone, start)
        while due and _changes_within(zone, start, due[-1]):
            due.pop()
        if due:
            shown = " ".join(time.strftime("%Y-%m-%dT%H:%MZ") for time in due)
            table.writerow([text, zone, f"{start_text}Z", shown, f"Temporal {info.server_version}"])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
