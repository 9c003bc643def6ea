"""A subscription is told on one page: what it is, how it does, what to do; without colors too."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from activityctl.cli.render.story.figures import figure_lines
from activityctl.cli.render.story.page_text import print_page
from activityctl.cli.render.story.strip import strip_lines
from activityctl.cli.render.story.subscription_page import subscription_page
from activityctl.domain.runs.latest_run import LatestRun
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.subscription_facts import (
    FailedRun,
    HeldGroup,
    OpenLetter,
    RunFigures,
    SubscriptionFacts,
    facts_view,
)
from activityctl.domain.values.json_form import format_timestamp

HOSTILE = "no\x1b]0;x\x07\u202e\nsecond"
HARMLESS = r"no\x1b]0;x\x07\u202e\nsecond"


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


def latest(status: RunStatus, *, is_stuck: bool = False) -> LatestRun:
    return LatestRun("r-1", status, "often", ago(hours=2), ago(hours=2), None, is_stuck)


def facts() -> SubscriptionFacts:
    return SubscriptionFacts(
        periods={
            "lastDay": RunFigures(
                {"succeeded": 9, "failed": 1}, False, *[timedelta(seconds=2)] * 3
            ),
            "lastWeek": RunFigures({"succeeded": 9_999, "failed": 1, "missed": 3}, True),
        },
        latest=(
            *(latest(status) for status in RunStatus),
            latest(RunStatus.RUNNING, is_stuck=True),
        ),
        open_runs={"running": 1, "queued": 2},
        stuck_runs=1,
        queued_since=ago(minutes=5),
        firings={"due": 3},
        due_since=ago(minutes=2),
        firing_error=HOSTILE,
        held=(HeldGroup("crm", None, 4, ago(minutes=3), ago()),),
        last_failure=FailedRun("0123456789", RunStatus.TIMED_OUT, HOSTILE, ago(minutes=1)),
        letters=(OpenLetter("abcdef0123456", "r-1", HOSTILE, ago(minutes=1)),),
        paused_by="ana",
    )


def view(**more: Any) -> Any:
    return {
        "name": "eu-orders",
        "status": "paused",
        "definition": "order-review",
        "revisionNumber": 7,
        "description": "Looks at\norders.",
        "labels": {"team": "db"},
        "applyset": None,
        "effectiveTriggers": [{"name": "often", "kind": "interval", "spec": {"every": "5m"}}],
        "concurrency": {"policy": "queue", "limit": 1, "key": None},
        "slo": {
            "startWithin": "1m",
            "endWithin": None,
            "late": {
                "lastDay": {"start": 2, "end": 0},
                "lastWeek": {"start": 5, "end": 0},
                "latest": [{"run": "late-run-1", "deadline": "start", "by": at(ago(hours=3))}],
            },
        },
        "lastChanges": [
            {
                "kind": "Subscription",
                "action": "configured",
                "at": at(ago(days=3)),
                "actor": "ana",
                "command": "apply",
                "sourceCommit": "0123456789abcdef",
                "fields": ["spec.params.a", "b", "c", "d", "e"],
            }
        ],
        "pausedAt": at(ago(minutes=10)),
        "pausedByRun": None,
        "pauseReason": HOSTILE,
        "failures": 2,
        "pauseAfterFailures": 5,
        "unreadableTriggers": [{"trigger": "old", "reason": "no such type"}],
        "schedules": [{"trigger": "often", "error": "Temporal refused it"}],
        "openDeadLetters": 3,
        "nextFirings": [
            {"trigger": "often", "dueAt": at(ago(days=-1)), "firesAt": None, "note": "paused"}
        ],
        "breakers": [
            {"name": "crm", "status": "open", "openUntil": at(ago()), "reason": "5", "openings": 2}
        ],
        "limits": [
            {"name": "x", "rate": 5, "per": "1m", "concurrency": None, "atWork": 1, "waiting": 4}
        ],
        "params": {"threshold": 1000},
        "state": {},
        **facts_view(facts()),
        **more,
    }


def at(moment: datetime) -> Any:
    return format_timestamp(moment)


def shown(found: Any, **options: Any) -> str:
    out = io.StringIO()
    print_page(Console(file=out, width=80, **options), subscription_page(found))
    return out.getvalue()


def test_the_page_tells_what_a_person_who_is_called_asks():
    text = shown(view())
    for part in (
        "subscription eu-orders  paused\n",
        "order-review, revision 7",
        "interval every: 5m",
        "1 run; others: queue",
        "start within 1m; 2 missed in the last day, 5 in the last week",
        "3d ago, the subscription was configured by ana with apply, commit 0123456789: spec.",
        "spec.params.a, b, c and 2 more",
        "10m ago by ana: " + HARMLESS,
        "2 runs have failed in a row",
        "1m ago, run 01234567 timed out: " + HARMLESS,
        "trigger old cannot be read",
        "schedule often: Temporal refused it",
        "1 run is stuck",
        "breaker crm is open until",
        "run late-run was late: it should have started 3h ago",
        "runs: 1 running, 2 queued, the oldest queued for 5m",
        "firings not started: 3 due, due for 2m",
        "4 tasks wait for breaker crm",
        "activityctl dlq show abcdef01",
        "and 2 more; activityctl dlq list -s eu-orders",
        "limit x  5 per 1m; 1 at work, 4 waiting",
        "threshold: 1000",
        "activityctl resume eu-orders",
    ):
        assert part in text, part
    assert "\x1b" not in text


def test_only_a_subscription_with_a_schedule_is_said_to_have_next_firings():
    assert "activityctl next eu-orders  lists more firings" in shown(view())
    assert "activityctl next" not in shown(view(schedules=[]))


def test_the_page_fits_a_narrow_terminal():
    text = shown(view(), force_terminal=True, no_color=True, color_system=None)
    assert max(len(line) for line in text.splitlines()) <= 80


def test_each_status_has_a_character_of_its_own_and_a_place_in_the_legend():
    strip, legend = strip_lines(facts_view(facts())["lastRuns"])
    assert len(strip.text) == len(set(strip.text)) == len(RunStatus) + 1
    assert strip.text[0] == "!"
    assert all(sign in legend.text for sign in strip.text)
    assert "timed out" in legend.text
    assert strip_lines([]) == []


def test_figures_never_round_a_failure_away():
    lines = [line.text for line in figure_lines(facts_view(facts())["figures"])]
    assert " ".join(lines[1].split()) == "last day 9 1 0 90.0 % 2s 2s 2s"
    assert " ".join(lines[2].split()) == "last week 9,999 1 0 >99.9 % - - -"
    assert lines[3:] == ["last week: 3 missed", "of the last week, only the newest 10,000 count"]


@pytest.mark.parametrize("status", ["active", "deleted"])
def test_a_new_subscription_has_a_short_page(status: str):
    new = facts_view(SubscriptionFacts())
    quiet = {"failures": 0, "openDeadLetters": 0, "unreadableTriggers": [], "schedules": []}
    few: Any = {"nextFirings": [], "breakers": [], "limits": [], "slo": None, "lastChanges": []}
    found = view(status=status, effectiveTriggers=[], **new, **quiet, **few)
    text = shown(found)
    assert "none so far" in text
    assert "needs attention" not in text
    assert "started by hand" in text
