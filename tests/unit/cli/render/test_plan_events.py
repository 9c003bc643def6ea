"""How a plan shows the effect of changed triggers on stored events, in text and in Markdown."""

from typing import Any

from activityctl.cli.render.plan_markdown import markdown
from activityctl.cli.render.plan_text import plan_lines


def an_event(uid: str, *, after: bool, **more: Any) -> dict[str, Any]:
    event = {"id": "x", "source": "/shop", "type": "order.paid", "holds": False}
    operand = {"text": "event.data.amount", "value": 120, "error": None}
    decision = {"decidedBy": "event.data.amount > 200", "operands": [operand]}
    arrival = {"uid": uid * 32, "arrivedAt": "2026-05-02T02:00:00.000Z", "matchesAfter": after}
    return {**event, **decision, **arrival, **more}


def a_trigger(action: str, **more: Any) -> dict[str, Any]:
    counts = {"before": 0, "after": 0, "gained": 0, "lost": 0, "errorsBefore": 0, "errorsAfter": 0}
    named = {"subscription": "eu", "trigger": "large", "action": action}
    return {**named, **counts, "differing": [], **more}


def a_plan(*triggers: dict[str, Any], **more: Any) -> dict[str, Any]:
    summary = dict.fromkeys(("created", "configured", "unchanged", "deleted"), 0)
    events = {"span": "7d", "since": "2026-04-25T02:00:00.000Z", "events": 1234, "read": 1234}
    compared = {**events, "isCut": False, "triggers": list(triggers), **more}
    empty = {"applyset": None, "changes": [], "schedules": [], "openRuns": [], "summary": summary}
    return {**empty, "againstEvents": compared}


def lines(view: dict[str, Any]) -> list[str]:
    return [text for text, _ in plan_lines(view)]


def test_a_changed_trigger_shows_counts_events_and_the_deciding_condition():
    missing = {"text": "event.data.vip", "value": None, "error": "is missing"}
    view = a_plan(
        a_trigger(
            "configured",
            before=412,
            after=380,
            gained=1,
            lost=33,
            errorsAfter=2,
            differing=[
                an_event("a", after=False),
                an_event("b", after=True),
                an_event(
                    "c", after=False, holds=None, decidedBy="event.data.vip", operands=[missing]
                ),
            ],
        )
    )
    assert lines(view) == [
        "! 1,234 events since 2026-04-25 02:00:00Z, compared with the event trigger that changes",
        (
            "~ events of eu/large: matched 412, would match 380 (1 more, 33 no longer); "
            "filter errors: 0 before, 2 now"
        ),
        (
            "    + bbbbbbbb order.paid 2026-05-02 02:00:00Z: event.data.amount > 200 was false "
            "(event.data.amount = 120)"
        ),
        (
            "    - aaaaaaaa order.paid 2026-05-02 02:00:00Z: event.data.amount > 200 would be "
            "false (event.data.amount = 120)"
        ),
        (
            "    - cccccccc order.paid 2026-05-02 02:00:00Z: event.data.vip could not be evaluated "
            "(event.data.vip is missing)"
        ),
        "      … 31 more would no longer match",
    ]


def test_new_and_deleted_triggers_need_no_reasons():
    gone = an_event("a", after=False, decidedBy=None, operands=[])
    created = a_trigger("created", after=5, gained=5)
    deleted = a_trigger("deleted", before=1, lost=1, differing=[gone])
    shown = lines(a_plan(created, deleted, a_trigger("configured", before=3, after=3)))
    assert shown[0].endswith("compared with the 3 event triggers that change")
    assert shown[1:] == [
        "+ events of eu/large: would match 5",
        "      … 5 more would match",
        "- events of eu/large: matched 1, is deleted",
        "    - aaaaaaaa order.paid 2026-05-02 02:00:00Z",
        "~ events of eu/large: matched 3, would match 3, the same",
    ]


def test_a_limited_number_of_events_is_reported():
    (head, *_) = lines(a_plan(a_trigger("created"), isCut=True, events=254_312, read=100_000))
    assert head.startswith("! the newest 100,000 of 254,312 events since")


def test_the_first_line_names_types_and_sources_of_the_events():
    few = a_plan(a_trigger("created"), types=["order.*", "stock"], sources=["/shop"])
    assert lines(few)[0].startswith("! 1,234 events of order.*, stock from /shop since")
    many = a_plan(a_trigger("created"), types=list("abcd"), sources=[])
    assert lines(many)[0].startswith("! 1,234 events of 4 types since")


def test_without_a_changed_trigger_one_line_is_enough():
    expected = "! no event trigger changes, so events since 2026-04-25 02:00:00Z match as before"
    assert lines(a_plan()) == [expected]


def test_markdown_shows_the_same_in_a_diff_block_that_no_value_can_leave():
    evil = an_event("a", after=True, type="```\n\x1b[31m")
    text = markdown(a_plan(a_trigger("configured", gained=1, after=1, differing=[evil])))
    assert "+   + aaaaaaaa '''" in text
    assert text.count("```") == 2
    assert "\x1b" not in text
    assert "matched 0, would match 1" in text


def test_markdown_fits_a_comment_even_if_many_triggers_change():
    events = [an_event("a", after=True, decidedBy="x" * 2_000) for _ in range(5)]
    triggers = [a_trigger("configured", gained=9, differing=events) for _ in range(200)]
    text = markdown(a_plan(*triggers))
    assert len(text) <= 65_536
    assert "event triggers" in text
