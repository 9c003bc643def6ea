"""A dead letter is told as a run is: why, each attempt, what was done, and what to do next."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from activityctl.cli.render.story.letter_page import letter_page
from activityctl.cli.render.story.page_html import page_html
from activityctl.cli.render.story.page_text import print_page

NOW = datetime.now(UTC)
HOSTILE = "\x1b]0;x\x07<script>alert('1')</script>\u202e"
HARMLESS = r"\x1b]0;x\x07<script>alert('1')</script>\u202e"


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def attempt(number: int, error: str) -> Any:
    return {
        "number": number,
        "outcome": "failed",
        "startedAt": at(number - 300),
        "durationMs": 40,
        "error": error,
    }


def task(name: str, status: str, **more: Any) -> Any:
    return {
        "id": f"{name}-id",
        "name": name,
        "index": 0,
        "of": None,
        "phase": "main",
        "kind": "http",
        "status": status,
        "attempts": 1,
        "input": {"url": f"https://{name}.example"},
        "output": None,
        "error": None,
        "code": None,
        "reason": None,
        "completedBy": None,
        "waitsUntil": None,
        "startedAt": at(-300),
        "endedAt": at(-299),
        "history": [],
        **more,
    }


def action(name: str, **more: Any) -> Any:
    return {
        "action": name,
        "actor": "ada",
        "reason": None,
        "createdAt": at(-60),
        "run": None,
        "result": None,
        "resultReason": None,
        "newRevision": False,
        "newKeys": False,
        **more,
    }


CHARGE = task(
    "charge",
    "failed",
    attempts=2,
    error=HOSTILE,
    output={"stderr": "no money\n"},
    code="http_503",
    history=[attempt(1, "no route"), attempt(2, HOSTILE)],
)


def letter(status: str, *actions: Any) -> Any:
    return {
        "id": "3cd0a69a-0000",
        "status": status,
        "run": "9f1e2d3c-0000",
        "runStatus": "failed",
        "subscription": "eu-orders",
        "definition": "order-charge",
        "reason": f"task charge failed: {HOSTILE}",
        "replayOf": None,
        "createdAt": at(-10_800),
        "lastAction": actions[-1] if actions else None,
        "revisionNumber": 3,
        "presentRevisionNumber": 5,
        "firing": {
            "trigger": "large-order",
            "key": "k-17",
            "dueAt": at(-301),
            "payload": {},
            "events": [{"id": "17", "type": "order.created", "source": "/shop"}],
        },
        "params": {"shop": "eu"},
        "context": {},
        "state": {},
        "tasks": [task("fetch", "succeeded"), CHARGE],
        "actions": list(actions),
    }


def printed(view: Any) -> str:
    out = io.StringIO()
    print_page(Console(file=out, color_system=None), letter_page(view))
    return out.getvalue()


def test_an_open_letter_tells_its_cause_once_its_attempts_and_the_next_commands():
    text = printed(letter("open"))
    assert text.startswith("dead letter 3cd0a69a-0000  open\n")
    for shown in (
        "3h ago",
        "9f1e2d3c-0000, failed",
        "order-charge, revision 3; the present one is 5",
        "large-order, firing key k-17",
        "2 attempts",
        "no route",
        "event order.created from /shop",
        "shop: eu",
        "url: https://charge.example",
        "stderr: no money\n",
        "activityctl dlq retry 3cd0a69a  runs it again",
        "activityctl dlq retry 3cd0a69a --new-revision  ",
        "activityctl dlq discard 3cd0a69a --reason TEXT  ",
        "activityctl describe run 9f1e2d3c  ",
    ):
        assert shown in text, shown
    assert text.count(HARMLESS) == 1
    assert "input of fetch" not in text


def test_what_was_done_with_a_letter_is_told_with_what_became_of_it():
    failed = action(
        "retried", reason="it is back", run="aaaa1111-0", result="failed", resultReason="503 again"
    )
    waiting = action("retried", run="bbbb2222-0", newRevision=True)
    text = printed(letter("retried", failed, waiting))
    assert "retried by ada: it is back → run aaaa1111: failed (503 again)" in text
    assert "→ run bbbb2222 with the new revision: accepted; waits for a worker" in text
    assert "activityctl describe run bbbb2222  tells what became of it" in text
    assert "dlq retry" not in text
    discarded = printed(letter("discarded", action("discarded", reason="paid by hand")))
    assert "discarded by ada: paid by hand\n" in discarded
    assert "what became of it" not in discarded


def test_a_letter_as_a_file_has_no_markup_of_strangers():
    page = page_html(letter_page(letter("open")), "", "made")
    assert "<script" not in page
    assert "dead letter 3cd0a69a-0000" in page
