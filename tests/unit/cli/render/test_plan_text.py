"""A plan as text and as Markdown: what is shown, what is cut, and no control characters."""

import io
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from activityctl.cli.render.plan_markdown import markdown
from activityctl.cli.render.plan_text import plan_lines, print_plan, summary_line
from activityctl.domain.manifests.document import differences, field_view
from support.examples import examples

texts = st.text(max_size=12) | st.sampled_from(
    ["```", "\n```\n", "`a`", "\x1b[31mred", "\u202eevil", "\r\n", "\x00", "a.b", "[bold]x[/bold]"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


def document(params: Any) -> dict[str, Any]:
    return {
        "apiVersion": "activityctl/v1",
        "kind": "Subscription",
        "metadata": {"name": "sub"},
        "spec": {"activity": "digest", "params": params},
    }


def change(action: str, name: str = "sub", fields: Any = ()) -> dict[str, Any]:
    return {"kind": "Subscription", "name": name, "action": action, "fields": list(fields)}


def configured(old: Any, new: Any) -> dict[str, Any]:
    found = differences(document({"a": old}), document({"a": new}))
    return change("configured", fields=[field_view(field) for field in found])


def view(*changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    actions = ("created", "configured", "unchanged", "deleted")
    summary = {action: sum(change["action"] == action for change in changes) for action in actions}
    empty = {"applyset": None, "schedules": [], "openRuns": []}
    return {**empty, "changes": list(changes), "summary": summary, **more}


def lines(shown: dict[str, Any]) -> list[str]:
    return [text for text, _ in plan_lines(shown)]


SCHEDULE = {
    "subscription": "sub",
    "trigger": "nightly",
    "action": "configured",
    "nextBefore": ["2026-05-02T02:00:00.000Z", "2026-05-03T02:00:00.000Z"],
    "nextAfter": ["2026-05-02T04:00:00.000Z"],
    "pausedBefore": False,
    "pausedAfter": False,
}
FULL = view(
    change("created", "new"),
    configured(1, 2),
    change("deleted", "old"),
    change("unchanged", "same"),
    schedules=[SCHEDULE],
    openRuns=[{"subscription": "sub", "count": 2}],
    applyset="shop",
)


def test_a_plan_lists_objects_fields_schedules_and_open_runs():
    assert lines(FULL) == [
        "+ subscription/new created",
        "~ subscription/sub configured",
        "    spec.params.a: 1 -> 2",
        "- subscription/old deleted",
        "~ schedule sub/nightly",
        "    next before: Sat 2026-05-02 02:00:00Z, Sun 2026-05-03 02:00:00Z",
        "    next after:  Sat 2026-05-02 04:00:00Z",
        "! 2 open runs of sub continue unchanged",
    ]


def test_queued_runs_of_deleted_subscriptions_are_cancelled():
    runs = [
        {"subscription": "old", "count": 3, "queuedEnd": True},
        {"subscription": "sub", "count": 1, "queuedEnd": False},
    ]
    assert lines(view(change("deleted", "old"), openRuns=runs))[1:] == [
        "! 3 open runs of old continue if they have begun; queued runs are cancelled",
        "! 1 open run of sub continues unchanged",
    ]


def test_a_new_calendar_shows_its_days():
    days = [f"2026-01-{day:02}" for day in range(1, 32, 2)] + ["2026-12-24/2027-01-02"]
    for count, last in ((3, "2026-01-01, 2026-01-03, 2026-01-05"), (17, "2026-12-24/2027-01-02")):
        chosen = days[:count] if count < len(days) else days
        fields = [{"path": "spec.days", "new": chosen}]
        made = {"kind": "Calendar", "name": "off", "action": "created", "fields": fields}
        shown = lines(view(made))
        assert shown[0] == "+ calendar/off created"
        assert shown[1].startswith("    days: 2026-01-01, 2026-01-03, ")
        assert shown[-1].endswith(last)
        assert max(map(len, shown)) <= 80
    made["fields"] = [{"path": "spec.days", "new": days * 4}]
    assert lines(view(made))[-1].endswith("and 48 more up to 2027-01-02")


def test_a_schedule_that_moves_to_another_alarm_says_so():
    alarms = {"alarmBefore": "alarm/0 2 * * * UTC", "alarmAfter": "alarm/0 4 * * * UTC"}
    shown = lines(view(schedules=[{**SCHEDULE, **alarms}]))
    assert shown[-1] == "    moves from alarm/0 2 * * * UTC to alarm/0 4 * * * UTC"
    for side in alarms:
        (*_, last) = lines(view(schedules=[{**SCHEDULE, side: "alarm/x"}]))
        assert "moves" not in last


def test_a_paused_schedule_shows_no_firings():
    after = {**SCHEDULE, "nextAfter": [], "pausedAfter": True}
    assert lines(view(schedules=[after]))[-1] == "    next after:  none, paused"
    before = {**SCHEDULE, "nextBefore": [], "pausedBefore": True}
    assert lines(view(schedules=[before]))[1:] == [
        "    next before: none, paused",
        "    next after:  Sat 2026-05-02 04:00:00Z",
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            [change("created"), change("created"), change("deleted"), change("unchanged")],
            "Plan: 2 to create, 0 to configure, 1 to delete, 1 unchanged.",
        ),
        ([change("configured")], "Plan: 0 to create, 1 to configure, 0 to delete, 0 unchanged."),
        ([change("unchanged")] * 3, "No changes: 3 objects are unchanged."),
        ([change("unchanged")], "No changes: 1 object is unchanged."),
        ([], "No changes: 0 objects are unchanged."),
    ],
)
def test_the_summary_is_one_sentence(changes: list[Any], sentence: str):
    assert summary_line(view(*changes)) == sentence


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (1, True, "spec.params.a: 1 -> true"),
        ("1", 1, 'spec.params.a: "1" -> 1'),
        (None, "", 'spec.params.a: null -> ""'),
        ([], {}, "spec.params.a: [] -> {}"),
        ("a\nb", "ä", r'spec.params.a: "a\nb" -> "ä"'),
        ("x", "\x1b[2J", r'spec.params.a: "x" -> "\u001b[2J"'),
        ("x", "\u202e", r'spec.params.a: "x" -> "\u202e"'),
    ],
)
def test_values_of_different_types_differ_and_control_characters_are_visible(
    old: Any, new: Any, shown: str
):
    assert lines(view(configured(old, new)))[1].strip() == shown


def test_an_added_or_removed_field_is_shown_as_none():
    fields = [{"path": "spec.a", "new": 1}, {"path": "spec.b", "old": None}]
    assert lines(view(change("configured", fields=fields)))[1:] == [
        "    spec.a: (none) -> 1",
        "    spec.b: null -> (none)",
    ]


def test_long_values_are_cut_with_an_ellipsis():
    (line,) = lines(view(configured("x", "y" * 10_000)))[1:]
    assert len(line) < 250
    assert line.endswith("…")
    (line,) = lines(view(configured("z" * 300, "z" * 5_000)))[1:]
    assert len(line) < 250


def test_long_values_that_differ_late_still_show_a_difference():
    before, after = "y" * 500 + "1", "y" * 500 + "2"
    (line,) = lines(view(configured(before, after)))[1:]
    old, new = line.split(": ", 1)[1].split(" -> ")
    assert old != new
    assert old.endswith('y1"')


def test_one_open_run_is_shown_in_the_singular():
    shown = view(change("configured"), openRuns=[{"subscription": "sub", "count": 1}])
    assert lines(shown)[-1] == "! 1 open run of sub continues unchanged"


def test_markdown_has_a_summary_a_diff_and_the_apply_set():
    assert markdown(FULL).splitlines() == [
        "### activityctl plan",
        "",
        "Plan: 1 to create, 1 to configure, 1 to delete, 1 unchanged.",
        "",
        "```diff",
        "+ subscription/new created",
        "! subscription/sub configured",
        "!   spec.params.a: 1 -> 2",
        "- subscription/old deleted",
        "! schedule sub/nightly",
        "-   next before: Sat 2026-05-02 02:00:00Z, Sun 2026-05-03 02:00:00Z",
        "+   next after:  Sat 2026-05-02 04:00:00Z",
        "  2 open runs of sub continue unchanged",
        "```",
        "",
        "Apply set: `shop`",
    ]


def test_markdown_without_changes_has_no_diff():
    text = markdown(view(change("unchanged")))
    assert "No changes: 1 object" in text
    assert "```" not in text


@settings(max_examples=examples(150), deadline=None)
@given(values, values)
def test_no_value_ends_the_code_block(old: Any, new: Any):
    shown = view(change("created", "new"), configured(old, new))
    text = markdown(shown)
    body = text.split("```diff\n", 1)[1].rsplit("\n```\n", 1)[0]
    assert "`" not in body
    assert text.count("`") == 6
    assert len(body.split("\n")) == len(lines(shown))
    assert all(line[:1] in "+-! " for line in body.split("\n"))


@settings(max_examples=examples(150), deadline=None)
@given(values, values)
def test_a_terminal_gets_no_control_characters_and_no_markup_of_values(old: Any, new: Any):
    file = io.StringIO()
    console = Console(file=file, width=10_000, markup=False, highlight=False, emoji=False)
    shown = view(configured(old, new))
    print_plan(console, shown)
    assert file.getvalue().splitlines() == [*lines(shown), summary_line(shown)]
    shown_text = file.getvalue().replace("\n", "")
    assert not {unicodedata.category(char) for char in shown_text} & {"Cc", "Cf", "Zl", "Zp"}


def test_a_terminal_shows_what_is_created_green_and_deleted_red():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="standard", width=200)
    print_plan(console, FULL)
    text = file.getvalue()
    assert "\x1b[32m+ subscription/new created" in text
    assert "\x1b[33m~ subscription/sub configured" in text
    assert "\x1b[31m- subscription/old deleted" in text


def test_the_view_that_is_shown_is_plain_json():
    assert lines(json.loads(json.dumps(FULL))) == lines(FULL)


def moved(number: int, **more: Any) -> dict[str, Any]:
    return {**SCHEDULE, "subscription": f"t-{number:03}", "definition": "tenant-sync", **more}


@pytest.mark.parametrize("write", [lines, lambda shown: markdown(shown).splitlines()])
def test_equal_changes_are_shown_once_with_the_first_names(write: Any):
    fields = [{"path": "spec.activity", "old": "a", "new": "b"}]
    changes = [change("configured", f"t-{number:03}", fields) for number in range(300)]
    schedules = [moved(number) for number in range(300)]
    runs = [{"subscription": f"t-{number:03}", "count": 2} for number in range(300)]
    shown = write(view(*changes, schedules=schedules, openRuns=runs))
    ten = ", ".join(f"t-{number:03}" for number in range(10)) + " and 290 more"
    assert any(f" 300 subscriptions configured alike: {ten}" in line for line in shown)
    assert any(f" 300 schedules of tenant-sync/nightly: {ten}" in line for line in shown)
    assert any(
        f" 600 open runs of 300 subscriptions continue unchanged: {ten}" in line for line in shown
    )
    assert sum("next before" in line for line in shown) == 1
    assert sum("spec.activity" in line for line in shown) == 1
    assert len(shown) < 20


def test_what_differs_is_not_put_together_and_two_are_shown_one_by_one():
    other = ["2026-06-02T02:00:00.000Z"]
    schedules = [moved(1), moved(2, nextAfter=other), moved(3), moved(4, nextAfter=other)]
    shown = lines(view(schedules=schedules))
    heads = [line for line in shown if "schedule" in line]
    assert heads == [f"~ schedule t-00{number}/nightly" for number in (1, 2, 3, 4)]
    created = [change("created", name) for name in ("a", "b", "c", "d")]
    assert lines(view(*created)) == [f"+ subscription/{name} created" for name in "abcd"]


def test_a_plan_says_what_becomes_of_what_waits() -> None:
    def firings(count: int, *, ends: bool = False) -> dict[str, Any]:
        return {"subscription": "sub", "revision": 4, "count": count, "ends": ends}

    others = [{**firings(2), "subscription": f"s{number}"} for number in range(3)]
    shown = view(
        change("configured"),
        waitingFirings=[firings(1), firings(3, ends=True), *others],
        gatheredEvents=[firings(2), firings(1, ends=True)],
    )
    assert [line for line, _ in plan_lines(shown) if line.startswith("!")] == [
        "! 7 waiting firings of 4 subscriptions go on with revision 4: s0, s1, s2, sub",
        "! 3 waiting firings of sub end without a run",
        "! 2 gathered events of sub are matched again by the new trigger and params",
        "! 1 gathered event of sub is dropped",
    ]
