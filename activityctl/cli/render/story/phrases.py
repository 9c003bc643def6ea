"""Short texts that the pages of a subscription and of a definition share."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.cli.render.output import age, to_yaml
from activityctl.cli.render.story.page import Line, column_width, line
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun

SHORT: Final = 8
"""How many characters of an id are shown."""
_COMMIT: Final = 10
_FIELDS: Final = 3
_WIDEST: Final = 32


def pairs(values: Mapping[str, object]) -> str:
    """Return labels as one text."""
    return ", ".join(f"{key}={value}" for key, value in values.items())


def flow(value: object) -> str:
    """Return a short text of a value as it stands in a manifest."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {flow(child)}" for key, child in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(flow, value))}]"
    return " ".join(to_yaml(value).removesuffix("...\n").split())


def concurrency(found: Any) -> str | None:
    """Return how many runs may run at once; None for any number."""
    if found is None or found["policy"] == "allow":
        return None
    of_key = f" for each {found['key']}" if found["key"] else ""
    return f"{count_noun(found['limit'], 'run', 'runs')}{of_key}; others: {found['policy']}"


def change(past: Mapping[str, Any]) -> str:
    """Return when, by whom and how an object was changed."""
    what = {"Subscription": "the subscription", "ActivityDefinition": "its definition"}
    names = [] if past["action"] == "created" else past["fields"]
    more = f" and {len(names) - _FIELDS} more" if len(names) > _FIELDS else ""
    fields = f": {', '.join(names[:_FIELDS])}{more}" if names else ""
    kind = what.get(past["kind"], past["kind"])
    return f"{age(past['at'])} ago, {kind} was {past['action']} {by_whom(past)}{fields}"


def by_whom(past: Mapping[str, Any]) -> str:
    """Return who made a change, with which command, from which commit."""
    commit = f", commit {past['sourceCommit'][:_COMMIT]}" if past["sourceCommit"] else ""
    return f"by {past['actor']} with {past['command']}{commit}"


def failure_line(failure: Mapping[str, Any], owner: str = "") -> Line:
    """Return the line of the newest failure; `owner` is the name of its subscription."""
    when = f"{age(failure['endedAt'])} ago, " if failure["endedAt"] else ""
    word = f"run {failure['run'][:SHORT]} {failure['status'].replace('_', ' ')}"
    of = f"{owner}, " if owner else ""
    reason = failure["reason"] or "no reason given"
    return Line(((f"{when}{of}{word}: ", ""), (reason, "failed")))


def firing_lines(firings: Any, *, with_owner: bool = False) -> Iterator[Line]:
    """Yield a line for each of the next firings: when, in how long, which trigger."""
    names = [firing["subscription"] for firing in firings] if with_owner else []
    owners = column_width(names, _WIDEST)
    width = column_width([firing["trigger"] for firing in firings], _WIDEST)
    for firing in firings:
        at = firing["firesAt"] or firing["dueAt"]
        note = f"  {firing['note']}" if firing["note"] else ""
        owner = f"{firing['subscription']:<{owners}}  " if with_owner else ""
        moment = f"{day_and_time(at)}  {until(at):<7}"
        yield Line(((f"{moment}  {owner}{firing['trigger']:<{width}}", ""), (note, "dim")), 4)


def trigger_facts(triggers: Any) -> Iterator[tuple[str, Line]]:
    """Yield a fact for each trigger, or that there is none."""
    for trigger in triggers:
        yield f"on {trigger['name']}", line(f"{trigger['kind']} {flow(trigger['spec'])}")
    if not triggers:
        yield "triggers", line("none; runs are started by hand")


def last_runs_title(runs: list[View]) -> str:
    """Return the title of the strip of the newest runs."""
    oldest = age(runs[-1]["createdAt"])
    if len(runs) == 1:
        return f"the only run, {oldest} ago"
    return f"last {len(runs):,} runs, from {oldest} ago until now"


def day_and_time(text: str) -> str:
    """Return a time stamp in local time with its weekday and zone."""
    return datetime.fromisoformat(text).astimezone().strftime("%a %Y-%m-%d %H:%M:%S %Z")


def local_minute(text: str) -> str:
    """Return a time stamp in local time, without seconds."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def until(text: str) -> str:
    """Return in how long a moment comes; `now` if it has passed."""
    return age(text) if age(text).startswith("in ") else "now"
