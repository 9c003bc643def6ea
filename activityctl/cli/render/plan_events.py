"""Show how the changed triggers of a plan match stored events, as lines of text."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from activityctl.domain.cel.messages import one_line
from activityctl.domain.routing.matching import shown
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls

Line = tuple[str, str]
"""A text, and the action that decides its color."""
_SYMBOLS: Final = {"created": "+", "configured": "~", "deleted": "-"}
_LISTED: Final = 3


def head_lines(view: View) -> list[Line]:
    """Return a line that says which events the plan was compared with."""
    changed = len(view["triggers"])
    since = f"since {_moment(view['since'])}"
    if not changed:
        return [(f"! no event trigger changes, so events {since} match as before", "")]
    events = count_noun(view["events"], "event")
    if view["isCut"]:
        events = f"the newest {view['read']:,} of {events}"
    events += _kinds(view)
    triggers = "the event trigger that changes"
    if changed > 1:
        triggers = f"the {changed:,} event triggers that change"
    return [(f"! {events} {since}, compared with {triggers}", "")]


def trigger_lines(view: View) -> Iterator[list[Line]]:
    """Yield for each trigger a line with its counts, then lines for the events that differ."""
    for trigger in view["triggers"]:
        label = f"{trigger['subscription']}/{trigger['trigger']}"
        action = trigger["action"]
        lines = [(f"{_SYMBOLS[action]} events of {label}: {_counts(trigger)}", action)]
        lines += _differing(trigger, matches_after=True)
        lines += _differing(trigger, matches_after=False)
        yield lines


def _kinds(view: View) -> str:
    """Return the types and sources of the events; "" if they are not limited."""
    text = ""
    for word, name in (("of", "types"), ("from", "sources")):
        listed = view.get(name)
        if listed:
            text += f" {word} "
            text += f"{len(listed):,} {name}" if len(listed) > _LISTED else ", ".join(listed)
    return escape_controls(text)


def _counts(trigger: Mapping[str, Any]) -> str:
    match trigger["action"]:
        case "created":
            text = f"would match {trigger['after']:,}"
        case "deleted":
            text = f"matched {trigger['before']:,}, is deleted"
        case _:
            text = f"matched {trigger['before']:,}, would match {trigger['after']:,}"
            if trigger["gained"] or trigger["lost"]:
                text += f" ({trigger['gained']:,} more, {trigger['lost']:,} no longer)"
            else:
                text += ", the same"
    before, after = trigger["errorsBefore"], trigger["errorsAfter"]
    return f"{text}; filter errors: {before:,} before, {after:,} now" if before or after else text


def _differing(trigger: Mapping[str, Any], *, matches_after: bool) -> Iterator[Line]:
    """Yield the newest events that match only after, or only before, and how many more do."""
    events = [event for event in trigger["differing"] if event["matchesAfter"] is matches_after]
    yield from (_event_line(event, trigger["action"]) for event in events)
    more = trigger["gained" if matches_after else "lost"] - len(events)
    if more:
        text = "would match" if matches_after else "would no longer match"
        yield f"      … {more:,} more {text}", "created" if matches_after else "deleted"


def _event_line(event: Mapping[str, Any], action: str) -> Line:
    mark, kind = ("+", "created") if event["matchesAfter"] else ("-", "deleted")
    when = _moment(event["arrivedAt"])
    text = f"    {mark} {event['uid'][:8]} {event['type']} {when}"
    if action == "configured" and event["decidedBy"] is not None:
        text += f": {_decision(event)}"
    return escape_controls(text), kind


def _decision(event: Mapping[str, Any]) -> str:
    """Return the condition that decides, its result and the values of its operands."""
    if event["holds"] is None:
        result = "could not be evaluated"
    else:
        result = "was false" if event["matchesAfter"] else "would be false"
    values = [
        f"{operand['text']} {operand['error']}"
        if operand["error"]
        else f"{operand['text']} = {shown(operand['value'])}"
        for operand in event["operands"]
    ]
    listed = f" ({', '.join(values)})" if values else ""
    return f"{one_line(event['decidedBy'])} {result}{listed}"


def _moment(stamp: str) -> str:
    return datetime.fromisoformat(stamp).strftime("%Y-%m-%d %H:%M:%SZ")
