"""The story of a run: what started it, what it knew, what its rules said, and what it did."""

from collections.abc import Iterator
from typing import Any

from activityctl.cli.render.output import duration
from activityctl.cli.render.story.page import (
    SIGNS,
    Line,
    Page,
    Section,
    clock_time,
    line,
    local_time,
    value_section,
)
from activityctl.cli.render.story.task_lines import task_lines, visible_tasks
from activityctl.cli.render.story.told import Told, told_of_tasks
from activityctl.cli.render.task_tree import label_of
from activityctl.domain.chain.hook_log import told_message
from activityctl.domain.values.json_form import View

_SHORT: int = 8


def run_page(
    view: View,
    temporal_page: str | None,
    *,
    most_lines: int = 12,
    moment: str | None = None,
) -> Page:
    """Return the page of a run from its JSON view.

    `temporal_page` is the address of the run's workflow in Temporal's web page, if that runs. With
    `moment`, the time stamp of now, what is open says for how long. Each error is told once: what
    ended the run as the reason of the run, others with their task; the log only says what failed.
    """
    return Page(
        title=f"run {view['id']}",
        status="stuck" if view["stuck"] else str(view["status"]),
        facts=tuple(_facts(view, temporal_page, moment)),
        sections=tuple(_sections(view, most_lines, moment)),
        next_steps=tuple(_next_steps(view)),
    )


def _why(view: View) -> Iterator[tuple[str, Line]]:
    if view["reason"]:
        yield "why", line(str(view["reason"]), str(view["status"]))
    if view.get("heldByPause"):
        yield "paused", line("the subscription is paused, so its queue stays until it is resumed")
    if view["stuck"]:
        yield "stuck", line(f"{view['stuck']['reason']}, since {view['stuck']['since']}", "failed")


def _facts(view: View, temporal_page: str | None, moment: str | None) -> Iterator[tuple[str, Line]]:
    yield from _why(view)
    yield "subscription", line(str(view["subscription"]))
    number = view["revisionNumber"]
    revision = f"revision {number}" if number else f"revision {view['revision']}"
    yield "definition", line(f"{view['definition']}, {revision}")
    yield "trigger", line(f"{view['trigger']}, firing key {view['firingKey']}")
    yield "due", line(local_time(view["dueAt"]))
    yield "started", line(_started(view))
    if view["endedAt"]:
        took = f", it took {duration(view['startedAt'], view['endedAt'])}"
        yield "ended", line(local_time(view["endedAt"]) + (took if view["startedAt"] else ""))
    elif moment and view["startedAt"]:
        yield "open", line(f"for {duration(view['startedAt'], moment)}")
    if view["replayOf"]:
        yield "replay of", line(f"run {view['replayOf']}")
    for replay in view.get("replays") or ():
        yield "replayed as", line(f"run {replay['id']}, {replay['status']}")
    if letter := view["deadLetter"]:
        yield "dead letter", line(f"{letter['id'][:_SHORT]}, {letter['status']}")
    if view["workflow"]:
        yield "workflow", Line(((str(view["workflow"]), ""),), is_whole=True)
    if temporal_page:
        yield "Temporal", Line(((temporal_page, ""),), is_whole=True)


def _started(view: View) -> str:
    if view["startedAt"] is None:
        return f"not started; recorded {local_time(view['createdAt'])}"
    if view["replayOf"]:  # it was asked for long after that
        return local_time(view["startedAt"])
    late = duration(view["dueAt"], view["startedAt"])
    return f"{local_time(view['startedAt'])}, {late} after it was due"


def _sections(view: View, most_lines: int, moment: str | None) -> Iterator[Section]:
    for event in view["events"]:
        title = f"event {event.get('type', '')} from {event.get('source', '')}"
        yield from value_section(title, event, most_lines)
    for title in ("payload", "params", "context", "state"):
        shown = "state before" if title == "state" else title
        yield from value_section(shown, view[title], most_lines)
    if rules := tuple(_rule_line(rule) for rule in view["rules"]):
        yield Section("rules", rules)
    told = Told([view["reason"]])
    if tasks := tuple(task_lines(view["tasks"], moment, told)):
        yield Section("tasks", tasks)
    for text in told_of_tasks(visible_tasks(view["tasks"])[0]):
        told.add(text)
    if view["log"]:
        yield Section("log, last lines", tuple(_log_line(entry, told) for entry in view["log"]))


def _rule_line(rule: View) -> Line:
    value = rule["value"]
    status = {True: "succeeded", False: "failed", None: "dim"}[value]
    word = {True: "true", False: "false", None: "-"}[value]
    why = f"  {rule['reason']}" if rule["reason"] else ""
    sign = SIGNS.get(status, "•")
    return Line(((f"{sign} ", status), (str(rule["when"]), ""), (f"  {word}{why}", status)), 4)


def _log_line(entry: View, told: Told) -> Line:
    level = str(entry["level"])
    style = {"error": "failed", "warning": "warning"}.get(level, "")
    metadata: Any = entry.get("metadata", {})
    message = told.without(told_message(str(entry["message"]), metadata))
    moment = clock_time(str(entry["createdAt"]))
    return Line(((f"{moment}  ", "dim"), (f"{level:<7}  ", style), (message, style)), 23)


def _next_steps(view: View) -> Iterator[str]:
    run = str(view["id"])[:_SHORT]
    letter: Any = view["deadLetter"]
    waiting = [task for task in view["tasks"] if task["status"] == "waiting"]
    for task in [task for task in waiting if task["kind"] == "manual"][:3]:
        yield f"activityctl complete {task['id']}  answers {label_of(task)}"
    if letter and letter["status"] == "open":
        yield f"activityctl dlq retry {letter['id'][:_SHORT]}  runs it again from what failed"
    if view.get("heldByPause"):
        yield f"activityctl resume {view['subscription']}  lets its queue go on"
    if view["endedAt"] is None:
        yield f"activityctl logs run/{run} --follow  shows what it does"
        yield f"activityctl cancel {run}  stops it"
    else:
        yield f"activityctl logs run/{run}  has the whole log"
        if view["status"] != "succeeded":
            yield f"activityctl replay {run} --dry-run  shows what a replay would do"
    if view["tasks"]:
        yield f"activityctl describe run {run} --timeline  shows when each task ran"
