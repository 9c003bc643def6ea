"""A run is told in text, as a timeline, in HTML and as SVG; strangers' texts are harmless."""

import io
import re
import time
import xml.dom.minidom
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from activityctl.cli.render.story.page_html import page_html
from activityctl.cli.render.story.page_text import print_page
from activityctl.cli.render.story.run_page import run_page
from activityctl.cli.render.story.timeline import seconds_text, timeline_of
from activityctl.cli.render.story.timeline_svg import timeline_svg
from activityctl.cli.render.story.timeline_text import print_timeline

START = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOSTILE = "\x1b]0;x\x07</text></pre><script>alert('1')</script>\u202e\n::error::&\ufffe"
HARMLESS = r"\x1b]0;x\x07</text></pre><script>alert('1')</script>\u202e\n::error::&"


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def task(name: str, status: str, start: float | None, end: float | None, **more: Any) -> Any:
    return {
        "id": f"{name}-id",
        "name": name,
        "index": 0,
        "of": None,
        "phase": "main",
        "kind": "command",
        "status": status,
        "attempts": 1,
        "error": None,
        "code": None,
        "reason": None,
        "completedBy": None,
        "waitsUntil": None,
        "startedAt": None if start is None else at(start),
        "endedAt": None if end is None else at(end),
        **more,
    }


def attempt(number: int, start: float, milliseconds: int, error: str | None) -> Any:
    outcome = "failed" if error else "succeeded"
    return {
        "number": number,
        "outcome": outcome,
        "startedAt": at(start),
        "durationMs": milliseconds,
        "error": error,
        "code": None,
        "worker": "w",
    }


def run(*tasks: Any, **more: Any) -> Any:
    return {
        "id": "3f2a9c1e-0000",
        "subscription": "eu-orders",
        "definition": "order-review",
        "revision": "v",
        "revisionNumber": 7,
        "trigger": "asked",
        "firingKey": "k",
        "dueAt": at(-2),
        "createdAt": at(-1),
        "startedAt": at(0),
        "endedAt": at(10),
        "status": "failed",
        "reason": "task charge failed: no",
        "replayOf": None,
        "replays": [{"id": "again-1", "status": "succeeded"}],
        "stuck": None,
        "workflow": "run/s/asked/k",
        "deadLetter": {"id": "00d8bee1-1", "status": "open"},
        "events": [{"type": "order.created", "source": "/shop", "data": {"amount": 3}}],
        "payload": {},
        "params": {"threshold": 10},
        "context": {},
        "state": {},
        "rules": [
            {"when": "params.threshold > 5", "value": True, "reason": None},
            {"when": "false", "value": False, "reason": "the order is small"},
        ],
        "tasks": list(tasks),
        "log": [{"createdAt": at(1), "level": "info", "message": "run started"}],
        **more,
    }


FAILED = task(
    "charge",
    "failed",
    1,
    9,
    attempts=2,
    error=HOSTILE,
    code="exit_code",
    history=[attempt(1, 1, 1000, "other"), attempt(2, 8, 1000, HOSTILE)],
)
STORY = run(
    task("pay", "failed", 1, 9, kind="tasks"),
    {**FAILED, "name": "pay.charge"},
    task("ask", "waiting", 2, None, kind="manual", waitsUntil="2026-12-01"),
    task("after", "skipped", None, None, reason="needs charge, which failed"),
)


def printed(view: Any, width: int | None = None) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=width is not None, width=width, color_system=None)
    print_page(console, run_page(view, "http://127.0.0.1:1/x"))
    return out.getvalue().splitlines()


def test_the_next_step_names_the_item_that_waits_for_a_person():
    asks = [
        task("ask", "waiting", 2, None, kind="manual", index=index, of=2, id=f"ask-{index}")
        for index in range(2)
    ]
    text = "\n".join(printed(run(*asks, status="running", endedAt=None)))
    assert "activityctl complete ask-1  answers ask[1]" in text


def test_a_queued_run_of_a_paused_subscription_names_what_lets_it_start():
    queued = run(status="queued", startedAt=None, endedAt=None, deadLetter=None, heldByPause=True)
    text = "\n".join(printed(queued))
    assert "the subscription is paused, so its queue stays until it is resumed" in text
    assert "activityctl resume eu-orders  lets its queue go on" in text


def test_the_story_says_what_started_the_run_what_it_did_and_what_comes_next():
    lines = printed(STORY)
    text = "\n".join(lines)
    assert lines[0] == "run 3f2a9c1e-0000  failed"
    for part in (
        "order-review, revision 7",
        "2.0s after it was due",
        "it took 10.0s",
        "00d8bee1, open",
        "run again-1, succeeded",
        "run/s/asked/k",
        "http://127.0.0.1:1/x",
        "event order.created from /shop",
        "  ✓ params.threshold > 5  true",
        "  ✗ false  false  the order is small",
        "needs charge, which failed",
        "activityctl complete ask-id  answers ask",
        "activityctl dlq retry 00d8bee1",
        "activityctl logs run/3f2a9c1e",
    ):
        assert part in text
    group, charge = (
        next(i for i, line in enumerate(lines) if word in line) for word in ("✗ pay", "charge ")
    )
    assert re.match(r"  ✗ pay +tasks +failed", lines[group])
    assert any(re.match(r"  ✗   charge +command +failed +8.0s  2 attempts", line) for line in lines)
    assert any(re.match(r" +1\. .* 1.0s  failed  other", line) for line in lines)
    assert charge >= 0
    replay = "\n".join(printed({**STORY, "replayOf": "first-run"}))
    assert "replay of     run first-run" in replay
    assert "after it was due" not in replay, "it was asked for long after that"


def test_each_error_is_told_once():
    error = "ended with exit code 3: stderr: no route to db.example: is it up?"
    other = "no answer within 30s"
    attempts = [attempt(n, n, 1000, other if n < 3 else error) for n in (1, 2, 3)]
    failed = {"error": error, "code": "exit_code", "attempts": 3, "history": attempts}
    messages = [
        *(f"task save attempt {n} failed: {each['error']}" for n, each in enumerate(attempts, 1)),
        f"task save failed: {error}",
        "task after skipped: needs save, which failed",
        f"run failed: task save failed: {error}",
        "task other said: something else",
    ]
    view = run(
        task("group", "failed", 1, 9, error=f"task group.save failed: {error}", kind="tasks"),
        task("group.save", "failed", 1, 9, **failed),
        task("again", "failed", 1, 9, error="a failure of another kind"),
        task("again", "failed", 1, 9, error="a failure of another kind", index=1, of=2),
        task("after", "skipped", None, None, reason="needs save, which failed"),
        reason=f"task group failed: task group.save failed: {error}",
        log=[{"createdAt": at(1), "level": "info", "message": each} for each in messages],
    )
    lines = printed(view)
    for told in (error, other, "a failure of another kind", "needs save, which failed"):
        assert sum(told in line for line in lines) == 1, told
    assert error in lines[1]
    assert any(line.endswith("[exit_code] the error that is told above") for line in lines)
    assert any(line.endswith("as attempt 1") for line in lines)
    for end in ("task save attempt 3 failed", "run failed: task save failed", "something else"):
        assert any(line.endswith(end) for line in lines), end


def test_no_line_is_wider_than_the_terminal_and_none_is_cut():
    whole = "".join("".join(printed(STORY)).split())
    for width in (60, 80, 120):
        lines = printed(STORY, width)
        assert max(map(len, lines)) <= width
        assert "".join("".join(lines).split()) == whole


def test_strangers_texts_are_harmless_in_text_html_and_svg():
    assert HARMLESS in "\n".join(printed(STORY))
    times = timeline_of(STORY, START)
    svg = timeline_svg(timeline_of(run({**FAILED, "name": HOSTILE}), START), HOSTILE)
    document = xml.dom.minidom.parseString(svg)
    page = page_html(run_page(STORY, None), timeline_svg(times, HOSTILE), "made")
    for text in (svg, page):
        assert "<script" not in text
        assert not re.search("[\x00-\x08\x0b-\x1f\u202e\ufffe]", text)
        assert "&lt;script&gt;" in text
        assert not re.search(r"(?:src|href|url|@import)\s*[=(]", text)
    assert not document.getElementsByTagName("script")
    assert len(document.getElementsByTagName("rect")) == 2
    assert "default-src 'none'" in page


def test_a_timeline_has_a_bar_for_each_attempt_and_what_is_open_ends_now():
    now = START + timedelta(seconds=10)
    times = timeline_of({**STORY, "endedAt": None}, now)
    assert times.seconds == 10
    bars = {row.label.strip(): [(bar.start, bar.end) for bar in row.bars] for row in times.rows}
    assert bars == {"pay": [(1, 9)], "charge": [(1, 2), (8, 9)], "ask": [(2, 10)], "after": []}
    out = io.StringIO()
    print_timeline(Console(file=out, width=100), times)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    (charge,) = (line for line in lines if "charge" in line)
    assert len(re.findall("█+", charge)) == 2
    assert "░" in next(line for line in lines if "ask" in line)


def test_times_of_an_axis_are_round():
    assert [seconds_text(value) for value in (0, 0.12, 1.5, 2, 90, 120, 3_900, 90_000)] == [
        "0",
        "120ms",
        "1.5s",
        "2s",
        "1m30s",
        "2m",
        "1h05m",
        "1d01h",
    ]
    for seconds in (0.001, 0.7, 4.2, 59, 3_000, 86_400 * 40):
        ticks = timeline_of(run(endedAt=at(seconds)), START).ticks(8)
        assert 2 <= len(ticks) <= 8, seconds


def test_of_a_large_for_each_the_story_counts_what_succeeded():
    items = [
        task(
            "send",
            "failed" if n % 100 == 0 else "succeeded",
            n / 1000,
            n / 1000 + 1,
            index=n,
            of=1000,
        )
        for n in range(1000)
    ]
    start = time.process_time()
    lines = printed(run(*items))
    assert time.process_time() - start < 5
    assert sum("send[" in line for line in lines) == 10
    assert any("and 990 more of send" in line for line in lines)


def test_the_rows_of_a_timeline_are_in_the_order_in_which_tasks_began():
    view = run(
        task("never", "skipped", None, None),
        task("late", "succeeded", 5, 6),
        task("group", "succeeded", 2, 9, kind="tasks"),
        task("group.second", "succeeded", 4, 5),
        task("group.first", "succeeded", 3, 4),
        task("early", "succeeded", 1, 2),
    )
    labels = [row.label for row in timeline_of(view, START).rows]
    assert labels == ["early", "group", "  first", "  second", "late", "never"]


def test_an_address_is_one_line_however_narrow_the_terminal_is():
    assert any(line.endswith("http://127.0.0.1:1/x") for line in printed(STORY, 24))


def test_what_is_open_says_for_how_long():
    at_work = {**attempt(1, 2, 0, None), "outcome": "running", "durationMs": None}
    view = run(
        task("ask", "waiting", 2, None, kind="manual"),
        task("hang", "running", 2, None, history=[{**at_work, "worker": "vm pid 42"}]),
        status="running",
        endedAt=None,
    )
    out = io.StringIO()
    page = run_page(view, None, moment="2026-11-28T09:00:00Z")
    print_page(Console(file=out), page)
    assert "open" in [name for name, _ in page.facts]
    assert " so far" in out.getvalue()
    (line,) = [line for line in out.getvalue().splitlines() if " hang " in line]
    assert line.rstrip().endswith("so far  on vm pid 42")


def test_what_a_replay_has_kept_was_at_work_before_its_timeline():
    kept = task("fetch", "succeeded", -60, -59)
    skewed = task("charge", "failed", -0.01, 5, history=[attempt(1, -0.01, 5000, "no")])
    repeated = task("mail", "failed", -0.01, 9)
    repeated["history"] = [attempt(1, -0.01, 20, "no"), attempt(2, 8, 20, "no")]
    times = timeline_of(run(kept, skewed, repeated), START)
    assert [(row.is_kept, bool(row.bars)) for row in times.rows] == [
        (True, False),
        (False, True),
        (False, True),
    ]
    assert all(bar.start >= 0 for row in times.rows for bar in row.bars)
    for width in (40, 80, 160):
        out = io.StringIO()
        print_timeline(Console(file=out, width=width), times)
        (line,) = [line for line in out.getvalue().splitlines() if "fetch" in line]
        assert line.split() == ["✓", "fetch", "kept"]
    assert "kept" in timeline_svg(times, "x")
