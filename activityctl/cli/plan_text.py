"""A plan as text for a terminal, and as Markdown for a pull request; both from its view."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from activityctl.cli.output import visible
from activityctl.domain.view import View

if TYPE_CHECKING:
    from rich.console import Console

SYMBOLS: Final = {"created": "+", "configured": "~", "deleted": "-", "unchanged": " "}
_COLORS: Final = {"created": "green", "configured": "yellow", "deleted": "red", "unchanged": "dim"}
_LONGEST: Final = 100
_BEFORE: Final = 20


def print_plan(console: "Console", view: View) -> None:
    """Print the plan: an object a line, under it what differs, then time and runs."""
    for line, action in plan_lines(view):
        console.print(line, style=_COLORS.get(action, ""))
    console.print(summary_line(view), style="bold")


def plan_lines(view: View) -> Iterator[tuple[str, str]]:
    """Yield (text, action) of every line; unchanged objects are only counted."""
    for change in view["changes"]:
        action = change["action"]
        if action == "unchanged":
            continue
        label = f"{change['kind'].lower()}/{change['name']}"
        yield f"{SYMBOLS[action]} {label} {action}", action
        if action == "configured":
            yield from ((f"    {_field(field)}", action) for field in change["fields"])
    for schedule in view["schedules"]:
        label = f"{schedule['subscription']}/{schedule['trigger']}"
        yield f"{SYMBOLS[schedule['action']]} schedule {label}", schedule["action"]
        if schedule["nextBefore"]:
            yield f"    next before: {_times(schedule['nextBefore'])}", "deleted"
        if schedule["nextAfter"]:
            yield f"    next after:  {_times(schedule['nextAfter'])}", "created"
    for runs in view["openRuns"]:
        count, owner = runs["count"], runs["subscription"]
        text = f"open run of {owner} goes on as it began"
        if count > 1:
            text = f"open runs of {owner} go on as they began"
        yield f"! {count} {text}", "unchanged"


def summary_line(view: View) -> str:
    """Return the counts as one sentence."""
    summary = view["summary"]
    if not summary["created"] + summary["configured"] + summary["deleted"]:
        count = summary["unchanged"]
        return f"No changes: {count} {'object is' if count == 1 else 'objects are'} as wanted."
    return (
        f"Plan: {summary['created']} to create, {summary['configured']} to configure, "
        f"{summary['deleted']} to delete, {summary['unchanged']} unchanged."
    )


def markdown(view: View) -> str:
    """Return the plan as a pull request comment: the sentence, a diff block, the details."""
    lines = ["### activityctl plan", "", summary_line(view), ""]
    shown = [(text, action) for text, action in plan_lines(view)]
    if shown:
        marks = {"created": "+", "configured": "!", "deleted": "-"}
        lines.append("```diff")
        for text, action in shown:
            first = marks.get(action, " ")
            rest = text[1:] if text[:1] in "+~-! " else text
            lines.append(f"{first}{rest}".replace("`", "'"))
        lines.append("```")
    if view["applyset"]:
        lines += ["", f"Apply set: `{view['applyset']}`"]
    return "\n".join(lines) + "\n"


def _field(field: Mapping[str, Any]) -> str:
    old = _value(field["old"]) if "old" in field else "(none)"
    new = _value(field["new"]) if "new" in field else "(none)"
    start = _first_shown(old, new)
    return f"{visible(field['path'])}: {_cut(old, start)} -> {_cut(new, start)}"


def _value(value: object) -> str:
    import json

    return visible(json.dumps(value, ensure_ascii=False))


def _first_shown(old: str, new: str) -> int:
    """Return where long values are shown from: a little before they begin to differ."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    return same - _BEFORE if same > _LONGEST - _BEFORE else 0


def _cut(text: str, start: int) -> str:
    shown = f"…{text[start:]}" if start else text
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def _times(stamps: list[str]) -> str:
    moments = [datetime.fromisoformat(text) for text in stamps]
    return ", ".join(moment.strftime("%a %Y-%m-%d %H:%M:%SZ") for moment in moments)
