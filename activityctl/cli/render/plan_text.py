"""Show a plan as lines of text, in color on a terminal; `plan_markdown` shows it as Markdown."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from activityctl.cli.render.plan_events import head_lines, trigger_lines
from activityctl.cli.render.plan_groups import groups_of
from activityctl.domain.gitops.applyset import shorten_list
from activityctl.domain.gitops.plan import NAME_PATH
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls
from activityctl.frozen_dataclass import frozen_dataclass

if TYPE_CHECKING:
    from rich.console import Console

SYMBOLS: Final = {"created": "+", "configured": "~", "deleted": "-", "unchanged": " "}
_COLORS: Final = {"created": "green", "configured": "yellow", "deleted": "red", "unchanged": "dim"}
_LONGEST: Final = 100
_MOST_DAYS: Final = 20
"""How many days or spans of days of a new calendar are shown."""
_SHOWN_BEFORE: Final = 20
"""How many characters are shown before the first difference of two long values."""

Line = tuple[str, str]
"""A text, and the action that decides its color."""


@frozen_dataclass
class PlanItem:
    """One entry of a plan: its headline first, then the details."""

    noun: str
    lines: list[Line]
    count: int = 1
    """How many changes, schedules or subscriptions it stands for."""


def print_plan(console: "Console", view: View) -> None:
    """Print the plan: objects with their changed fields, schedules, events, open runs."""
    for line, action in plan_lines(view):
        console.print(line, style=_COLORS.get(action, ""))
    console.print(summary_line(view), style="bold")


def plan_lines(view: View) -> Iterator[Line]:
    """Yield every line; unchanged objects have none."""
    return (line for item in plan_items(view) for line in item.lines)


def plan_items(view: View) -> Iterator[PlanItem]:
    """Yield changes, schedules, stored events and open runs, each with its details.

    Equal changes of several subscriptions are one item.
    """
    changed = (change for change in view["changes"] if change["action"] != "unchanged")
    for changes in groups_of(changed, _change_key):
        yield _change_item(changes)
    for schedules in groups_of(view["schedules"], _schedule_key):
        yield _schedule_item(schedules)
    if (events := view.get("againstEvents")) is not None:
        yield PlanItem("note", head_lines(events))
        for lines in trigger_lines(events):
            yield PlanItem("event trigger", lines)
    yield from _open_run_items(view)
    yield from _waiting_items(view)
    if names := view.get("openSources", ()):
        yield PlanItem("open event sources", list(_open_lines(names)), len(names))
    if missing := [secret for secret in view.get("secrets", ()) if not secret["isFoundHere"]]:
        yield PlanItem("missing secrets", list(_secret_lines(missing)), len(missing))
    if missing := [key for key in view.get("keys", ()) if not key["isFoundHere"]]:
        yield PlanItem("missing keys", list(_key_lines(missing)), len(missing))


def _open_run_items(view: View) -> Iterator[PlanItem]:
    """Yield the open runs, and what becomes of them; the key is younger than saved plans."""
    for runs in groups_of(view["openRuns"], lambda owner: owner.get("queuedEnd", False)):
        noun, is_one, more = _owned("open run", runs)
        end = "continues" if is_one else "continue"
        if runs[0].get("queuedEnd"):
            end += " if it has begun" if is_one else " if they have begun"
            end += "; queued runs are cancelled"
        else:
            end += " unchanged"
        yield PlanItem("open runs", [(f"! {noun} {end}{more}", "unchanged")], len(runs))


def _open_lines(names: Sequence[str]) -> Iterator[Line]:
    of = "event source accepts" if len(names) == 1 else "event sources accept"
    yield f"! {of} requests of ANYBODY, because verify is none:", "deleted"
    for name in names:
        yield f"    /v1/sources/{name}", "unchanged"


def _secret_lines(missing: Sequence[View]) -> Iterator[Line]:
    head = "! secrets that are missing on this machine; set them where the worker runs:"
    yield head, "configured"
    for secret in missing:
        users = shorten_list(secret["usedBy"])
        yield f"    activityctl secrets set {secret['name']}  ({users})", "unchanged"


def _key_lines(missing: Sequence[View]) -> Iterator[Line]:
    head = "! keys that are missing on this machine; make or import them where the worker runs:"
    yield head, "configured"
    for key in missing:
        users = shorten_list(key["usedBy"])
        command = f"activityctl keys create {key['name']} --kind {key['kind']}"
        yield f"    {command}  ({users})", "unchanged"


def _waiting_items(view: View) -> Iterator[PlanItem]:
    """Yield the firings that wait and the events that are gathered, and what becomes of them."""
    waiting = view.get("waitingFirings", ())
    for group in groups_of(waiting, lambda each: (each["revision"], each["ends"])):
        noun, is_one, more = _owned("waiting firing", group)
        if group[0]["ends"]:
            text = f"{noun} {'ends' if is_one else 'end'} without a run"
        else:
            revision = group[0]["revision"]
            text = f"{noun} {'goes' if is_one else 'go'} on with revision {revision}"
        yield PlanItem("waiting firings", [(f"! {text}{more}", "unchanged")], len(group))
    for group in groups_of(view.get("gatheredEvents", ()), lambda each: each["ends"]):
        noun, is_one, more = _owned("gathered event", group)
        verb = "is" if is_one else "are"
        done = "dropped" if group[0]["ends"] else "matched again by the new trigger and params"
        yield PlanItem(
            "gathered events", [(f"! {noun} {verb} {done}{more}", "unchanged")], len(group)
        )


def _owned(noun: str, group: Sequence[Mapping[str, Any]]) -> tuple[str, bool, str]:
    """Return the counted noun with its owners, whether it is one, and the owners' names."""
    count = sum(each["count"] for each in group)
    names = sorted({each["subscription"] for each in group})
    of = names[0] if len(names) == 1 else f"{len(names):,} subscriptions"
    more = "" if len(names) == 1 else f": {shorten_list(names)}"
    return count_noun(count, f"{noun} of {of}", f"{noun}s of {of}"), count == 1, more


def _change_key(change: Mapping[str, Any]) -> Hashable:
    """Return what is equal for changes that are shown together: changes of the same fields."""
    if change["action"] != "configured":
        return change["kind"], change["name"]
    return change["kind"], _value(change["fields"])


def _change_item(changes: Sequence[Mapping[str, Any]]) -> PlanItem:
    first = changes[0]
    action = first["action"]
    kind = first["kind"].lower()
    if len(changes) == 1:
        head = f"{kind}/{first['name']} {_done(first)}"
    else:
        names = shorten_list([change["name"] for change in changes])
        head = f"{len(changes):,} {kind}s {action} alike: {names}"
    lines = [(f"{SYMBOLS[action]} {head}", action)]
    if action == "configured":
        lines += [(f"    {_field(field)}", action) for field in _shown_fields(first)]
    if action == "created" and kind == "calendar":
        days = (field["new"] for field in first["fields"] if field["path"] == "spec.days")
        lines += [(f"    {line}", action) for line in _day_lines(next(days, []))]
    return PlanItem("change", lines, len(changes))


def _done(change: Mapping[str, Any]) -> str:
    """Return what happens to the object."""
    if (old := change.get("renamedFrom")) is None:
        return str(change["action"])
    return f"renamed from {old}"


def _shown_fields(change: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the changed fields; the first line already has the name of what is renamed."""
    is_renamed = "renamedFrom" in change
    return [field for field in change["fields"] if not (is_renamed and field["path"] == NAME_PATH)]


def _schedule_key(schedule: Mapping[str, Any]) -> Hashable:
    """Return what is equal for schedules that are shown together: all but the subscription."""
    return _value({key: value for key, value in schedule.items() if key != "subscription"})


def _schedule_item(schedules: Sequence[Mapping[str, Any]]) -> PlanItem:
    first = schedules[0]
    if len(schedules) == 1:
        head = f"schedule {first['subscription']}/{first['trigger']}"
    else:
        names = shorten_list([schedule["subscription"] for schedule in schedules])
        of = f"{first['definition']}/{first['trigger']}"
        head = f"{len(schedules):,} schedules of {of}: {names}"
    lines = [(f"{SYMBOLS[first['action']]} {head}", first["action"])]
    if text := _firings(first["nextBefore"], is_paused=first["pausedBefore"]):
        lines.append((f"    next before: {text}", "deleted"))
    if text := _firings(first["nextAfter"], is_paused=first["pausedAfter"]):
        lines.append((f"    next after:  {text}", "created"))
    before, after = first.get("alarmBefore"), first.get("alarmAfter")
    if before and after and before != after:
        lines.append((f"    moves from {before} to {after}", "unchanged"))
    return PlanItem("schedule", lines, len(schedules))


def _day_lines(days: list[str]) -> list[str]:
    """Return the days of a new calendar, several on a line; only the first of many."""
    text = ", ".join(days[:_MOST_DAYS])
    if len(days) > _MOST_DAYS:
        text += f", and {len(days) - _MOST_DAYS:,} more up to {days[-1].split('/')[-1]}"
    return wrap(text, 74, initial_indent="days: ", subsequent_indent="      ")


def summary_line(view: View) -> str:
    """Return the counts as one sentence."""
    summary = view["summary"]
    if not summary["created"] + summary["configured"] + summary["deleted"]:
        objects = count_noun(summary["unchanged"], "object is", "objects are")
        return f"No changes: {objects} unchanged."
    return (
        f"Plan: {summary['created']} to create, {summary['configured']} to configure, "
        f"{summary['deleted']} to delete, {summary['unchanged']} unchanged."
    )


def _field(field: Mapping[str, Any]) -> str:
    old = _value(field["old"]) if "old" in field else "(none)"
    new = _value(field["new"]) if "new" in field else "(none)"
    start = _first_shown(old, new)
    return f"{escape_controls(field['path'])}: {_shown(old, start)} -> {_shown(new, start)}"


def _value(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def _first_shown(old: str, new: str) -> int:
    """Return the index from which long values are shown: shortly before they differ."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    return same - _SHOWN_BEFORE if same > _LONGEST - _SHOWN_BEFORE else 0


def _shown(text: str, start: int) -> str:
    rest = f"…{text[start : start + _LONGEST]}" if start else text
    return _cut(escape_controls(_cut(rest)))  # cut first: to escape a megabyte takes long


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _firings(stamps: list[str], *, is_paused: bool) -> str:
    """Return the times of the next firings, or that there are none because it is paused."""
    if is_paused:
        return "none, paused"
    moments = [datetime.fromisoformat(text) for text in stamps]
    return ", ".join(moment.strftime("%a %Y-%m-%d %H:%M:%SZ") for moment in moments)
