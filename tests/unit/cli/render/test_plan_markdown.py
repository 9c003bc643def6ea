"""A plan as Markdown always fits one comment; what is left out is counted."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.cli.render.plan_markdown import LONGEST_COMMENT, markdown
from activityctl.cli.render.plan_text import summary_line
from support.examples import examples

LIMIT = 65_536
COMMAND = "activityctl plan -f definitions --applyset main --prune"


def change(number: int, values: int, length: int, path: int = 20) -> dict[str, Any]:
    fields = [
        {
            "path": f"spec.params.{'p' * path}{index}.{number}",
            "old": "x" * length,
            "new": "ä`" * length,
        }
        for index in range(values)
    ]
    name = f"subscription-{number:05}"
    return {"kind": "Subscription", "name": name, "action": "configured", "fields": fields}


def schedule(number: int) -> dict[str, Any]:
    stamps = [f"2026-05-0{day}T02:00:00.000Z" for day in (1, 2, 3)]
    owner = {"subscription": f"subscription-{number:05}", "trigger": f"nightly-{number}"}
    times = {"nextBefore": stamps, "nextAfter": stamps, "pausedBefore": False, "pausedAfter": False}
    return {**owner, "action": "configured", **times}


def view(changes: list[Any], schedules: int = 0, runs: int = 0) -> dict[str, Any]:
    summary = {"created": 0, "configured": len(changes), "unchanged": 0, "deleted": 0}
    return {
        "applyset": "main",
        "changes": changes,
        "schedules": [schedule(number) for number in range(schedules)],
        "openRuns": [{"subscription": f"s{number:05}", "count": 2} for number in range(runs)],
        "summary": summary,
    }


def shown(text: str, what: str) -> int:
    return len(re.findall(what, text, re.MULTILINE))


def left_out(text: str, what: str) -> int:
    found = re.search(rf"([\d,]+) {what}", text.rsplit("```\n", maxsplit=1)[-1])
    return int(found.group(1).replace(",", "")) if found else 0


def test_five_thousand_changes_with_long_values_fit_one_comment():
    large = view([change(n, 3, 5_000) for n in range(5_000)], schedules=5_000, runs=100)
    text = markdown(large, COMMAND)
    assert LIMIT - 1_000 < len(text) <= LIMIT
    assert text.startswith(f"### activityctl plan\n\n{summary_line(large)}\n\n```diff\n")
    assert text.endswith("\n\nApply set: `main`\n")
    heads = shown(text, r"^! subscription/subscription-\d{5} configured$")
    assert heads > 1_000
    assert left_out(text, "changes? not shown") == 5_000 - heads
    assert left_out(text, "schedules? not shown") == 5_000
    assert "open runs of 100 subscriptions not shown" in text
    assert f"See all of it with `{COMMAND}`." in text


def test_the_details_of_later_changes_are_left_out_first():
    text = markdown(view([change(n, 3, 100) for n in range(300)]), COMMAND)
    assert len(text) <= LIMIT
    assert shown(text, r"^! subscription/") == 300
    assert "not shown" not in text
    missing = left_out(text, "changes? without all details")
    assert 0 < missing < 300
    assert 3 * (300 - missing) <= shown(text, r"^!   spec") < 3 * (301 - missing)
    block = text.split("```diff\n")[1]
    assert block.index("spec.params") < block.index("subscription-00001")
    assert "spec.params" not in block[block.index("subscription-00299") :]


def test_a_change_that_is_longer_than_a_comment_is_cut():
    text = markdown(view([change(0, 2, 10, path=100_000), change(1, 1, 10)]), COMMAND)
    assert len(text) <= LIMIT
    assert text.count("…\n") == 2
    assert "subscription-00001 configured\n!   spec.params" in text
    assert "Shortened: long values are cut." in text


@settings(max_examples=examples(25), deadline=None)
@given(
    st.integers(0, 1_500), st.integers(1, 5), st.integers(0, 150), st.integers(0, 900), st.text()
)
def test_any_plan_fits_and_what_is_left_out_is_counted(
    count: int, values: int, length: int, schedules: int, command: str
):
    made = view([change(n, values, length) for n in range(count)], schedules)
    text = markdown(made, command)
    assert len(text) <= LIMIT == LONGEST_COMMENT
    assert summary_line(made) in text
    assert text.count("```") == 2 * bool(count or schedules)
    heads = shown(text, r"^! subscription/")
    assert heads + left_out(text, "changes? not shown") == count
    times = shown(text, r"^! schedule ")
    assert times + left_out(text, "schedules? not shown") == schedules
    if "Shortened" not in text:
        assert shown(text, r"^!   spec") == count * values


@pytest.mark.parametrize("command", ["a`b", "x" * 70_000, "-f 'a\nb'", "\x1b[31m"])
def test_no_command_leaves_its_code_span_or_is_too_long(command: str):
    text = markdown(view([change(n, 3, 100) for n in range(1_000)]), command)
    assert len(text) <= LIMIT
    note = text.split("```\n")[-1]
    assert note.count("`") == 4
    assert "\x1b" not in text
    assert len(note.splitlines()) == 4
