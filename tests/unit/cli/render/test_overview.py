"""`status` says what fails, how many items, since when, and the last error."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rich.console import Console

from activityctl.cli.render.overview import print_overview
from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot
from activityctl.domain.runs.stuck import (
    CHANGED,
    ENCRYPTED,
    EVENTS_LOST,
    advice_on,
    cause_of,
    outlook_of,
)
from activityctl.domain.runs.worker import LoopTrouble
from activityctl.operations.looking.overview import Overview, WorkerTrouble
from activityctl.operations.looking.overview_view import (
    firings_view,
    overview_view,
    stuck_view,
    troubles_view,
)
from activityctl.ports import FailingFirings, StuckSummary

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FOUND = Overview(
    MetricsSnapshot(NOON, {}, {}, None, {}, 0, 0, None, {}, 1, {}),
    (),
    failing=FailingFirings(2, NOON, "Temporal is\nbusy"),
    troubles=(WorkerTrouble("host pid 42", LoopTrouble("router", NOON, 3, "it broke")),),
    stuck=StuckSummary(1, NOON, "[TMPRL1100] it does not fit"),
)


def test_the_text_names_the_firings_and_loops_that_fail():
    text = io.StringIO()
    print_overview(Console(file=text, width=200), overview_view(FOUND))
    lines = text.getvalue().splitlines()
    assert (
        "2 firings could not be started and will be tried again, since "
        "2026-03-02T12:00:00.000Z: Temporal is\\nbusy"
    ) in lines
    assert (
        "worker host pid 42: loop router fails since 2026-03-02T12:00:00.000Z, 3 times: it broke"
    ) in lines


def test_the_text_names_the_runs_that_are_stuck():
    text = io.StringIO()
    print_overview(Console(file=text, width=300), overview_view(FOUND))
    assert (
        "1 run is stuck since 2026-03-02T12:00:00.000Z, because this version cannot go on with "
        "the workflow: [TMPRL1100] it does not fit; run a worker of the version that began it"
    ) in text.getvalue()


def test_the_text_of_a_busy_night_has_large_numbers_and_missed_runs():
    figures = replace(
        FOUND.figures,
        schedules={"active": 10_000},
        alarms=1,
        runs={"missed": 4_117},
        firings={"due": 6_400},
        oldest_due_at=NOON - timedelta(seconds=66),
    )
    text = io.StringIO()
    print_overview(Console(file=text, width=200), overview_view(replace(FOUND, figures=figures)))
    for line in (
        "schedules: 10,000 active, on 1 alarm",
        "firings due and not started: 6,400, the oldest for 1m6s; run activityctl doctor",
        "4,117 runs missed within a day; run activityctl get runs --status missed --since 1d",
    ):
        assert line in text.getvalue()


def test_a_key_that_the_worker_lacks_is_no_other_version():
    reason = f"{ENCRYPTED} 7f, which this process does not have: name it"
    stuck = StuckSummary(2, NOON, f"Failed decoding arguments: {reason}")
    text = io.StringIO()
    print_overview(Console(file=text, width=400), overview_view(replace(FOUND, stuck=stuck)))
    assert (
        "2 runs are stuck since 2026-03-02T12:00:00.000Z, because the worker cannot read what "
        f"Temporal has of the workflow: Failed decoding arguments: {reason}; give this key to "
        "every worker"
    ) in text.getvalue()
    assert outlook_of(CHANGED).startswith("Find out who changes what Temporal stores, or wait: ")
    assert advice_on("other", 2) == "run a worker of the version that began them"
    for reason in (CHANGED, EVENTS_LOST):
        assert "version" not in cause_of(reason) + advice_on(reason) + outlook_of(reason)
    assert outlook_of(EVENTS_LOST) == (
        "When none of its tasks is at work, a new workflow goes on with it."
    )


def test_the_json_names_them_too():
    assert stuck_view(FOUND) == {
        "count": 1,
        "since": "2026-03-02T12:00:00.000Z",
        "lastReason": "[TMPRL1100] it does not fit",
    }
    since = "2026-03-02T12:00:00.000Z"
    failing = {"count": 2, "since": since, "lastError": "Temporal is\nbusy"}
    assert firings_view(FOUND)["failing"] == failing
    assert troubles_view(FOUND) == [
        {
            "worker": "host pid 42",
            "loop": "router",
            "since": since,
            "failures": 3,
            "lastError": "it broke",
        }
    ]


def test_the_text_names_the_relayers_that_can_hardly_pay():
    text = io.StringIO()
    low = [{"address": "0xab", "chainId": 8453, "balance": "0.00002"}]
    print_overview(Console(file=text, width=80), {**overview_view(FOUND), "lowRelayers": low})
    assert (
        "relayer 0xab has 0.00002 left on chain 8453, which hardly pays for a call; "
        "run activityctl get relayers\n"
    ) in text.getvalue()
