"""The page of a subscription: what it is, how it does, what it waits for, what to do next."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from activityctl.cli.render.output import age
from activityctl.cli.render.story.figures import figure_lines
from activityctl.cli.render.story.page import (
    Line,
    Page,
    Section,
    line,
    value_section,
)
from activityctl.cli.render.story.phrases import (
    SHORT,
    change,
    concurrency,
    failure_line,
    firing_lines,
    last_runs_title,
    pairs,
    trigger_facts,
)
from activityctl.cli.render.story.strip import strip_lines
from activityctl.cli.render.story.told import Told
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun


def subscription_page(view: View, *, most_lines: int = 12) -> Page:
    """Return the page of a subscription from its JSON view."""
    return Page(
        title=f"subscription {view['name']}",
        status=str(view["status"]),
        facts=tuple(_facts(view)),
        sections=tuple(_sections(view, most_lines)),
        next_steps=tuple(_next_steps(view)),
    )


def _facts(view: View) -> Iterator[tuple[str, Line]]:
    number = view["revisionNumber"]
    revision = f"revision {number}" if number else "which is deleted"
    yield "definition", line(f"{view['definition']}, {revision}")
    if view["description"]:
        yield "what it does", line(" ".join(str(view["description"]).split()))
    if view["labels"]:
        yield "labels", line(pairs(view["labels"]))
    if view["applyset"]:
        yield "apply set", line(str(view["applyset"]))
    yield from trigger_facts(view["effectiveTriggers"])
    yield from _status(view)


def _status(view: View) -> Iterator[tuple[str, Line]]:
    if at_once := concurrency(view["concurrency"]):
        yield "at once", line(at_once)
    if view["slo"]:
        yield "slo", _slo(view["slo"])
    for past in view["lastChanges"][:1]:
        yield "last change", line(change(past))
    if view["status"] == "paused":
        yield "paused", line(_pause(view), "paused")
    if view["failures"]:
        yield "streak", line(_streak(view), "failed")
    if failure := view["lastFailure"]:
        yield "last failure", failure_line(failure)


def _slo(slo: Any) -> Line:
    limits = [f"{word} within {slo[key]}" for key, word in _SLO_WORDS.items() if slo[key]]
    day, week = (sum(slo["late"][period].values()) for period in ("lastDay", "lastWeek"))
    late = f"; {day:,} missed in the last day, {week:,} in the last week"
    return Line(((", ".join(limits), ""), (late, "warning" if day else "")))


_SLO_WORDS: Final = {"startWithin": "start", "endWithin": "end"}
_DEADLINES: Final = {"start": "started", "end": "ended"}


def _pause(view: View) -> str:
    by = f"by {view['pausedBy']}" if view["pausedBy"] else ""
    if view["pausedByRun"]:
        by = f"because run {view['pausedByRun'][:SHORT]} failed"
    reason = f": {view['pauseReason']}" if view["pauseReason"] else ", no reason given"
    since = f"{age(view['pausedAt'])} ago" if view["pausedAt"] else ""
    return " ".join(filter(None, (since, by))) + reason


def _streak(view: View) -> str:
    limit = view.get("pauseAfterFailures")
    most = f"; {limit} pause it" if limit and view["status"] == "active" else ""
    return count_noun(view["failures"], "run has", "runs have") + f" failed in a row{most}"


def _sections(view: View, most_lines: int) -> Iterator[Section]:
    if troubles := tuple(_troubles(view)):
        yield Section("needs attention", troubles)
    runs: Any = view["lastRuns"]
    if runs:
        yield Section(last_runs_title(runs), tuple(strip_lines(runs)))
        yield Section("figures", tuple(figure_lines(view["figures"])))
    else:
        yield Section("runs", (line("none so far", "dim"),))
    if now := tuple(_now(view)):
        yield Section("now", now)
    if firings := tuple(firing_lines(view["nextFirings"])):
        yield Section("next firings", firings)
    if chains := tuple(line(str(note)) for note in view.get("chainTriggers", ())):
        yield Section("chain triggers", chains)
    if letters := tuple(_letters(view)):
        yield Section(f"dead letters, {view['openDeadLetters']:,} open", letters)
    if guards := tuple(_guards(view)):
        yield Section("breakers and limits", guards)
    yield from value_section("params", view["params"], most_lines)
    yield from value_section("state of the next run", view["state"], most_lines)


def _troubles(view: View) -> Iterator[Line]:
    for trigger in view["unreadableTriggers"]:
        yield line(f"trigger {trigger['trigger']} cannot be read: {trigger['reason']}", "failed")
    for schedule in view["schedules"]:
        if schedule["error"]:
            yield line(f"schedule {schedule['trigger']}: {schedule['error']}", "failed")
    if stuck := view["openRuns"]["stuck"]:
        yield line(f"{count_noun(stuck, 'run is', 'runs are')} stuck; see doctor", "failed")
    if error := view["waitingFirings"]["lastError"]:
        yield line(f"a firing could not be started and is tried again: {error}", "failed")
    for breaker in view["breakers"]:
        if breaker["status"] != "closed":
            yield line(_open_breaker(breaker), str(breaker["status"]))
    slo: Any = view["slo"]
    for late in slo["late"]["latest"][:1] if slo else ():
        missed = f"should have {_DEADLINES[late['deadline']]} {age(late['by'])} ago"
        yield line(f"run {late['run'][:SHORT]} was late: it {missed}", "warning")


def _open_breaker(breaker: Mapping[str, Any]) -> str:
    until = f" until {_clock(breaker['openUntil'])}" if breaker["openUntil"] else ""
    word = str(breaker["status"]).replace("_", " ")
    return f"breaker {breaker['name']} is {word}{until}: {breaker['reason']}"


def _now(view: View) -> Iterator[Line]:
    runs, firings = view["openRuns"], view["waitingFirings"]
    parts = [
        f"{runs[status]:,} {status}"
        for status in ("running", "cancelling", "queued")
        if runs[status]
    ]
    since = f", the oldest queued for {age(runs['queuedSince'])}" if runs["queuedSince"] else ""
    if parts:
        yield line(f"runs: {', '.join(parts)}{since}")
    words = {"due": "due", "later": "later", "held": "held by a backfill"}
    waiting = [f"{firings[key]:,} {word}" for key, word in words.items() if firings[key]]
    behind = f", due for {age(firings['dueSince'])}" if firings["dueSince"] else ""
    if waiting:
        yield line(f"firings not started: {', '.join(waiting)}{behind}")
    for held in view["held"]:
        by = f"breaker {held['breaker']}" if held["breaker"] else f"limit {held['limit']}"
        tasks = count_noun(held["count"], "task waits", "tasks wait")
        asks = f"the first since {age(held['since'])}, and asks again at {_clock(held['nextAt'])}"
        yield line(f"{tasks} for {by}, {asks}", "waiting")


def _letters(view: View) -> Iterator[Line]:
    letters, failure = view["deadLetters"], view["lastFailure"]
    told = Told([failure["reason"]] if failure else ())
    for letter in letters:
        command = f"activityctl dlq show {letter['id'][:SHORT]}"
        when = f"  {age(letter['createdAt']):>4} ago  "
        is_told = told.has(letter["reason"])
        why = ("the reason that is told above", "dim") if is_told else (letter["reason"], "failed")
        told.add(letter["reason"])
        yield Line(((command, ""), (when, "dim"), why), 6)
    if (rest := view["openDeadLetters"] - len(letters)) > 0:
        yield line(f"… and {rest:,} more; activityctl dlq list -s {view['name']}", "dim")


def _guards(view: View) -> Iterator[Line]:
    for breaker in view["breakers"]:
        status = str(breaker["status"])
        times = count_noun(breaker["openings"], "time", "times")
        opened = f", opened {times}" if breaker["openings"] else ""
        yield Line(((f"breaker {breaker['name']}  ", ""), (status, status), (opened, "dim")), 2)
    for limit in view["limits"]:
        rate = f"{limit['rate']} per {limit['per']}" if limit["rate"] else ""
        places = f"{limit['concurrency']} at once" if limit["concurrency"] else ""
        use = f"{limit['atWork']} at work, {limit['waiting']} waiting"
        allowed = ", ".join(filter(None, (rate, places)))
        yield Line(((f"limit {limit['name']}  {allowed}; ", ""), (use, "dim")), 2)


def _next_steps(view: View) -> Iterator[str]:
    name, failure = view["name"], view["lastFailure"]
    if failure is not None:
        run = failure["run"][:SHORT]
        yield f"activityctl describe run {run}  tells how the last failure came about"
    if view["openDeadLetters"]:
        yield f"activityctl dlq retry -s {name}  runs again what failed"
    if view["status"] == "paused":
        yield f"activityctl resume {name}  lets it fire again"
    if view["openRuns"]["stuck"]:
        yield "activityctl doctor  says why runs are stuck"
    yield f"activityctl logs {name} --follow  shows what it does"
    if view["schedules"]:
        yield f"activityctl next {name}  lists more firings"
    yield f"activityctl history sub {name}  tells who changed it"


def _clock(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S")
