"""The story of a dead letter: what failed and why, each attempt, what was done, what to do next."""

from collections.abc import Iterator
from typing import Any

from activityctl.cli.render.output import age
from activityctl.cli.render.story.page import (
    Line,
    Page,
    Section,
    line,
    local_time,
    value_section,
)
from activityctl.cli.render.story.phrases import SHORT
from activityctl.cli.render.story.task_lines import task_lines
from activityctl.cli.render.story.told import Told
from activityctl.cli.render.task_tree import label_of
from activityctl.domain.values.json_form import View


def letter_page(view: View, *, most_lines: int = 30) -> Page:
    """Return the page of a dead letter from the JSON view of its details.

    Each error is told once: what the letter is about as its reason, others with their task.
    """
    return Page(
        title=f"dead letter {view['id']}",
        status=str(view["status"]),
        facts=tuple(_facts(view)),
        sections=tuple(_sections(view, most_lines)),
        next_steps=tuple(_next_steps(view)),
    )


def _facts(view: View) -> Iterator[tuple[str, Line]]:
    yield "why", line(str(view["reason"]), "failed")
    yield "since", line(f"{local_time(view['createdAt'])}, {age(view['createdAt'])} ago")
    yield "run", line(f"{view['run']}, {str(view['runStatus']).replace('_', ' ')}")
    if view["replayOf"]:
        yield "retry of", line(f"run {view['replayOf']}")
    yield "subscription", line(str(view["subscription"]))
    number, present = view["revisionNumber"], view["presentRevisionNumber"]
    changed = "" if present in {None, number} else f"; the present one is {present}"
    yield "definition", line(f"{view['definition']}, revision {number}{changed}")
    firing: Any = view["firing"]
    yield "trigger", line(f"{firing['trigger']}, firing key {firing['key']}")
    yield "due", line(local_time(firing["dueAt"]))


def _sections(view: View, most_lines: int) -> Iterator[Section]:
    tasks: Any = view["tasks"]
    if lines := tuple(task_lines(tasks, told=Told([view["reason"]]))):
        yield Section("tasks", lines)
    if done := tuple(_action(action) for action in view["actions"]):
        yield Section("what was done", done)
    firing: Any = view["firing"]
    for event in firing["events"]:
        title = f"event {event.get('type', '')} from {event.get('source', '')}"
        yield from value_section(title, event, most_lines)
    yield from value_section("payload", firing["payload"], most_lines)
    for title in ("params", "context"):
        yield from value_section(title, view[title], most_lines)
    yield from value_section("state before", view["state"], most_lines)
    for task in tasks:
        if task["status"] == "failed":
            name = label_of(task)
            yield from value_section(f"input of {name}", task["input"], most_lines)
            output = _without_last_breaks(task["output"])
            yield from value_section(f"output of {name}", output, most_lines)


def _without_last_breaks(value: Any) -> Any:
    """Return the value as it is shown: the output of a program ends with its last line."""
    match value:
        case str():
            return value.rstrip("\n")
        case dict():
            return {key: _without_last_breaks(each) for key, each in value.items()}
        case list():
            return [_without_last_breaks(each) for each in value]
        case _:
            return value


def _action(action: View) -> Line:
    """Return who did what with the letter, why, and what became of the run of a retry."""
    begun = f"{local_time(action['createdAt'])}  {action['action']} by {action['actor']}"
    why = f": {action['reason']}" if action["reason"] else ""
    if action["run"] is None:
        return line(begun + why)
    how = " with the new revision" if action["newRevision"] else ""
    result = str(action["result"] or "accepted")
    shown = result.replace("_", " ") if action["result"] else "accepted; waits for a worker"
    because = f" ({action['resultReason']})" if action["resultReason"] else ""
    run = f" → run {action['run'][:SHORT]}{how}: "
    return Line(((begun + why + run, ""), (shown, result), (because, "dim")))


def _next_steps(view: View) -> Iterator[str]:
    letter, run = str(view["id"])[:SHORT], str(view["run"])[:SHORT]
    if view["status"] == "open":
        yield f"activityctl dlq retry {letter}  runs it again from what failed"
        if view["presentRevisionNumber"] not in {None, view["revisionNumber"]}:
            yield f"activityctl dlq retry {letter} --new-revision  does so as it is defined now"
        yield f"activityctl dlq discard {letter} --reason TEXT  closes it without a run"
    elif again := (view["lastAction"] or {}).get("run"):
        yield f"activityctl describe run {again[:SHORT]}  tells what became of it"
    yield f"activityctl describe run {run}  tells the run that failed"
    yield f"activityctl logs run/{run}  has its whole log"
