"""`status` says what fails, how many items, since when, and the last error."""

import io
from datetime import UTC, datetime

from rich.console import Console

from activityctl.cli.render.overview import print_overview
from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot
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
