"""A definition is told on one page: what it does, who uses it, how its runs do."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from activityctl.cli.render.story.definition_page import definition_page
from activityctl.cli.render.story.page_html import page_html
from activityctl.cli.render.story.page_text import print_page
from activityctl.domain.runs.definition_facts import (
    DefinitionFacts,
    OwnedFailure,
    OwnedRun,
    definition_facts_view,
)
from activityctl.domain.runs.latest_run import LatestRun
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.subscription_facts import FailedRun, RunFigures
from activityctl.domain.values.json_form import format_timestamp

HOSTILE = "no\x1b]0;x\x07\u202e\nsecond"
HARMLESS = r"no\x1b]0;x\x07\u202e\nsecond"
SPEC = {
    "triggers": [{"name": "often", "interval": {"every": "5m"}}],
    "params": {
        "type": "object",
        "required": ["threshold"],
        "properties": {"threshold": {"type": "number", "description": "From when it is large."}},
    },
    "concurrency": {"policy": "queue"},
    "throttle": {"limit": 10, "per": "1h"},
    "slo": {"startWithin": "1m"},
    "pauseAfter": {"failures": 5},
    "limits": [{"name": "crm", "rate": 5, "per": "1m"}],
    "context": [{"name": "before", "runs": {"limit": 5}}],
    "rules": [{"when": "params.threshold > 1", "otherwise": "too small"}],
    "tasks": [
        {"name": "load", "http": {"url": "https://crm.example/c", "method": "POST"}},
        {
            "name": "choose",
            "needs": ["load"],
            "switch": {
                "cases": [{"when": "params.a", "tasks": [{"name": "one", "wait": "1s"}]}],
                "default": [{"name": "two", "command": {"argv": ["true", HOSTILE]}}],
            },
        },
        {
            "name": "all",
            "forEach": [1, 2],
            "when": "params.b",
            "tasks": [{"name": "each", "manual": {}, "retry": {"maxAttempts": 3}}],
            "undo": [{"name": "back", "command": {"argv": ["false"]}}],
        },
    ],
    "onFailure": [{"name": "page", "command": {"argv": ["echo"]}}],
}


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


def at(moment: datetime) -> Any:
    return format_timestamp(moment)


def subscriber(name: str, **more: Any) -> Any:
    nothing = {"failures": 0, "pauseReason": None, "lastRun": None, "nextDueAt": None}
    return {"name": name, "status": "active", **nothing, "openDeadLetters": 0, **more}


def view(**more: Any) -> Any:
    latest = LatestRun("r-1", RunStatus.FAILED, "often", ago(hours=2), ago(hours=2), None)
    facts = DefinitionFacts(
        {"lastDay": RunFigures({"succeeded": 9, "failed": 1})},
        (OwnedRun("eu", latest),),
        OwnedFailure("eu", FailedRun("0123456789", RunStatus.FAILED, HOSTILE, ago(hours=2))),
    )
    changed = {"actor": "ana", "command": "apply", "sourceCommit": "0123456789abcdef"}
    nobody = {"actor": None, "command": None, "sourceCommit": None}
    return {
        "name": "order-review",
        "number": 10,
        "description": "Looks at\norders.",
        "labels": {"team": "db"},
        "applyset": None,
        "subscriptions": 30,
        "spec": SPEC,
        "secrets": [
            {"name": "crm", "isFoundHere": True},
            {"name": "db", "isFoundHere": False},
        ],
        "subscribers": [
            subscriber("us", status="paused", pauseReason=HOSTILE),
            subscriber("eu", lastRun={"status": "failed", "createdAt": at(ago(hours=2))}),
        ],
        "nextFirings": [
            {
                "subscription": "eu",
                "trigger": "often",
                "dueAt": at(ago(days=-1)),
                "firesAt": None,
                "note": None,
            }
        ],
        "revisions": [
            {"number": 10, "createdAt": at(ago(days=3)), "id": "abcdef0123", **changed},
            {"number": 9, "createdAt": at(ago(days=4)), "id": "bcdef01234", **nobody},
        ],
        **definition_facts_view(facts),
        **more,
    }


def shown(found: Any, width: int = 80, **options: Any) -> list[str]:
    out = io.StringIO()
    print_page(Console(file=out, width=width, **options), definition_page(found))
    return out.getvalue().splitlines()


def test_the_page_tells_what_a_person_asks_about_a_definition():
    text = "\n".join(shown(view()))
    for part in (
        "definition order-review  revision 10\n",
        "interval every: 5m",
        "1 run; others: queue",
        "10 in 1h; others: skip",
        "after 5 failures",
        "rate: 5, per: 1m",
        "crm, db (not found here)",
        "3d ago, by ana with apply, commit 0123456789",
        f"2h ago, eu, run 01234567 failed: {HARMLESS}",
        "✗ 1 failed",
        "90.0 %",
        "us  paused    no run yet",
        "eu  active    ✗ failed      2h ago",
        "and 28 more",
        "in 24h   eu  often",
        "threshold  number    required; From when it is large.",
        "before  runs  limit: 5",
        "params.threshold > 1  otherwise: too small",
        "load           http     POST https://crm.example/c",
        "choose         switch   after load",
        "    if params.a",
        "      one        wait     1s",
        "    else",
        r"two        command  true no\x1b]0;x\x07\u202e second",
        "all            tasks    if params.b; for each of [1, 2]",
        "    each         manual   3 attempts",
        "    to undo it",
        "      back       command  false",
        "tasks after a failure\n  page  command  echo",
        "bcdef012\n",
        "activityctl describe run 01234567",
    ):
        assert part in text, part


@pytest.mark.parametrize("width", [50, 80])
def test_the_page_fits_the_terminal(width: int):
    lines = shown(view(), width, force_terminal=True, color_system=None)
    assert max(map(len, lines)) <= width


def test_a_definition_that_nobody_uses_is_told():
    nothing = definition_facts_view(DefinitionFacts())
    alone = view(subscribers=[], subscriptions=0, nextFirings=[], **nothing)
    text = "\n".join(shown({**alone, "spec": {"tasks": SPEC["tasks"][:1]}}))  # type: ignore[index]
    for part in ("none; nothing runs it", "none so far", "none; runs are started by hand"):
        assert part in text
    page = page_html(definition_page(view()), "", "made")
    assert "<script" not in page
    assert "\x1b" not in page
