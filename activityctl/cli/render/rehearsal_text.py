"""A planned replay as text: what is called again, what is kept, and what differs from then."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from activityctl.cli.render.output import Column, print_table
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_line

if TYPE_CHECKING:
    from rich.console import Console

_MOST_NAMES: Final = 8
_MOST_RUNS: Final = 50
_MOST_CHANGES: Final = 10
_LONGEST: Final = 60
_LISTED: Final = ("called", "undecided", "fails")


def print_planned(console: "Console", view: View, *, dry_run: bool) -> None:
    """Print the plan of one replay; a dry run also tells what differs from then."""
    console.print(escape_line(_title(view)), style="bold")
    tasks: Sequence[View] = view["tasks"]
    listed = [task for task in tasks if task["now"] in _LISTED]
    if listed:
        print_table(console, listed, _COLUMNS, empty="")
    else:
        is_kept = all(task["now"] == "kept" for task in tasks) and bool(tasks)
        more = "; --from TASK or --all-tasks runs tasks again" if is_kept else ""
        console.print(f"no task is called again{more}")
    for part, text in (("kept", "kept"), ("skipped", "skipped"), ("evaluated", "evaluated")):
        names = [str(task["name"]) for task in tasks if task["now"] == part]
        if names:
            console.print(escape_line(f"{text}: {_names(names)}"), style="dim")
    if view["contextToResolve"]:
        console.print(escape_line(_to_resolve(view["contextToResolve"])), style="yellow")
    for line, style in _differences(view) if dry_run else ():
        console.print(escape_line(line), style=style)


def print_planned_list(console: "Console", views: Sequence[View], *, whole: bool) -> None:
    """Print a line for each replay: what it calls."""
    shown = views if whole else views[:_MOST_RUNS]
    columns: Sequence[Column] = (
        ("RUN", lambda view: view["replayOf"][:8]),
        ("SUBSCRIPTION", lambda view: view["subscription"]),
        ("THEN", lambda view: view["then"]["status"]),
        ("CALLS", _calls),
    )
    print_table(console, shown, columns, empty="")
    if len(shown) < len(views):
        console.print(f"and {len(views) - len(shown):,} more; --dry-run lists all")


def _calls(view: View) -> str:
    tasks = view["tasks"]
    names = [str(task["name"]) for task in tasks if task["isCalled"]]
    if any(task["now"] == "undecided" for task in tasks):
        names.append("then what needs their results" if names else "depends on context")
    return _names(names) or "nothing"


def _title(view: View) -> str:
    then: Mapping[str, Any] = view["then"]
    why = f": {then['reason']}" if then["reason"] else ""
    new = "" if view["isSameRevision"] else ", the present one, with the present params"
    return (
        f"replay of run {view['replayOf'][:8]} of {view['subscription']}, which {then['status']}"
        f"{why}; revision {view['revision']}{new}"
    )


def _now(task: View) -> str:
    match task["now"]:
        case "called" if task["then"] is None:
            return "called"
        case "called":
            relays = {True: ", may send a transaction", False: ", sends no transaction"}
            more = relays.get(task["relays"], "")
            return f"called again{more}" if task["isCalled"] else "runs again"
        case "fails":
            return f"fails: {task['reason']}"
        case _:
            return "depends on a result"


_COLUMNS: Final[tuple[Column, ...]] = (
    ("TASK", lambda task: task["name"]),
    ("KIND", lambda task: task["kind"]),
    ("THEN", lambda task: task["then"]),
    ("NOW", _now),
    ("KEY", lambda task: task["key"]),
)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _to_resolve(names: Sequence[str]) -> str:
    return (
        f"resolved when the replay begins: context {', '.join(names)}; rules and tasks that need "
        f"{'it' if len(names) == 1 else 'them'} are not known before"
    )


def _differences(view: View) -> Iterator[tuple[str, str]]:
    """Yield a line for everything that differs from then, with its style."""
    lines = [*_rule_lines(view), *_task_lines(view), *_end_lines(view)]
    if lines or not view["contextToResolve"]:
        yield "", ""
    if not lines and not view["contextToResolve"]:
        yield "nothing differs from then, as far as it is known before a call", "green"
        return
    if lines:
        yield "what differs from then:", "bold"
    yield from ((f"  {line}", "yellow") for line in lines)


def _rule_lines(view: View) -> Iterator[str]:
    for rule in view["rules"]:
        if rule["error"] and not view["contextToResolve"]:
            yield f"rule {rule['when']}: {rule['error']}"
        elif rule["held"] is None and rule["holds"] is not None:
            yield f"rule {rule['when']}: new, {_holds(rule['holds'])}"
        elif rule["holds"] is not None and rule["held"] is not rule["holds"]:
            yield f"rule {rule['when']}: {_holds(rule['held'])} then, {_holds(rule['holds'])} now"


def _holds(value: bool) -> str:  # a value
    return "true" if value else "false"


def _task_lines(view: View) -> Iterator[str]:
    for task in view["tasks"]:
        name, then, now = task["name"], task["then"], task["now"]
        if now == "fails":
            yield f"task {name}: fails: {task['reason']}"
        elif now == "skipped" and then not in {"skipped", "cancelled"}:
            yield f"task {name}: {then or 'unknown'} then, skipped now: {task['reason']}"
        elif now in {"called", "evaluated"} and then is None:
            yield f"task {name}: new"
        elif now in {"called", "evaluated"} and then == "skipped":
            yield f"task {name}: skipped then, {now} now"
        changes = task["inputChanges"]
        for change in changes[:_MOST_CHANGES]:
            path = f" {change['path']}" if change["path"] else ""
            yield f"task {name}: input{path}: {_value(change, 'old')} → {_value(change, 'new')}"
        if len(changes) > _MOST_CHANGES:
            yield f"task {name}: {len(changes) - _MOST_CHANGES} more changes; -o json has all"


def _end_lines(view: View) -> Iterator[str]:
    end, then = view["end"], view["then"]
    if end is not None and end["status"] != then["status"]:
        why = f": {end['reason']}" if end["reason"] else ""
        yield f"the run: {then['status']} then, {end['status']} now{why}"


def _value(change: View, key: str) -> str:
    if key not in change:
        return "nothing"
    text = json.dumps(change[key], ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def called_text(views: Sequence[View]) -> str:
    """Return how many tasks the replays call, as far as it is known."""
    tasks = [task for view in views for task in view["tasks"]]
    called = sum(bool(task["isCalled"]) for task in tasks)
    open_ones = sum(task["now"] == "undecided" for task in tasks)
    more = f", {open_ones:,} more may be" if open_ones else ""
    return f"{count_noun(called, 'task')} called{more}"
