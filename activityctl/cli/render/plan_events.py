"""The part of a plan that tells of events of the past, as lines of text."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from activityctl.cli.render.output import escape_controls
from activityctl.domain.cel.messages import one_line
from activityctl.domain.routing.matching import shown
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun

Line = tuple[str, str]
"""A text and the action whose colour it has."""
_SYMBOLS: Final = {"created": "+", "configured": "~", "deleted": "-"}
_LISTED: Final = 3
_MISSING: Final = "is missing"


def head_lines(view: View) -> list[Line]:
    """Return which events the plan was held against."""
    changed = len(view["triggers"])
    if not changed:
        return [(f"! no event trigger changes; the events of {view['span']} mean the same", "")]
    since = f"since {_moment(view['since'])}"
    events = count_noun(view["events"], "event")
    if view["isCut"]:
        events = f"the newest {view['read']:,} of {events}"
    events += _kinds(view)
    triggers = "the event trigger that changes"
    if changed > 1:
        triggers = f"the {changed:,} event triggers that change"
    return [(f"! {events} {since}, held against {triggers}", "")]


def trigger_lines(view: View) -> Iterator[list[Line]]:
    """Yield a trigger's counts and, under them, the events that differ."""
    for one in view["triggers"]:
        label = f"{one['subscription']}/{one['trigger']}"
        lines = [(f"{_SYMBOLS[one['action']]} events of {label}: {_counts(one)}", one["action"])]
        lines += _differing(one, matches_after=True)
        lines += _differing(one, matches_after=False)
        yield lines


def _kinds(view: View) -> str:
    """Return of which types and from which sources the events are; "" when of any."""
    text = ""
    for word, name in (("of", "types"), ("from", "sources")):
        listed = view.get(name)
        if listed:
            said = f"{len(listed):,} {name}" if len(listed) > _LISTED else ", ".join(listed)
            text += f" {word} {said}"
    return escape_controls(text)


def _counts(one: Mapping[str, Any]) -> str:
    match one["action"]:
        case "created":
            text = f"would match {one['after']:,}"
        case "deleted":
            text = f"matched {one['before']:,}, and goes"
        case _:
            text = f"matched {one['before']:,}, would match {one['after']:,}"
            if one["gained"] or one["lost"]:
                text += f" ({one['gained']:,} more, {one['lost']:,} no longer)"
            else:
                text += ", the same"
    before, after = one["errorsBefore"], one["errorsAfter"]
    return f"{text}; filter errors: {before:,} before, {after:,} now" if before or after else text


def _differing(one: Mapping[str, Any], *, matches_after: bool) -> Iterator[Line]:
    """Yield the newest events that differ in this direction, and how many more there are."""
    found = [event for event in one["differing"] if event["matchesAfter"] is matches_after]
    yield from (_event_line(event, one["action"]) for event in found)
    more = one["gained" if matches_after else "lost"] - len(found)
    if more:
        said = "would match" if matches_after else "would match no longer"
        yield f"      … {more:,} more {said}", "created" if matches_after else "deleted"


def _event_line(event: Mapping[str, Any], action: str) -> Line:
    mark, kind = ("+", "created") if event["matchesAfter"] else ("-", "deleted")
    when = _moment(event["arrivedAt"])
    text = f"    {mark} {event['uid'][:8]} {event['type']} {when}"
    if action == "configured" and event["decidedBy"] is not None:
        text += f": {_decision(event)}"
    return escape_controls(text), kind


def _decision(event: Mapping[str, Any]) -> str:
    said = "could not be evaluated" if event["holds"] is None else "does not hold"
    if event["matchesAfter"]:
        said = said.replace("does not hold", "did not hold")
    values = [
        f"{one['text']} {one['error']}"
        if one["error"]
        else f"{one['text']} = {shown(one['value'])}"
        for one in event["operands"]
    ]
    looked_at = f" ({', '.join(values)})" if values else ""
    return f"{one_line(event['decidedBy'])} {said}{looked_at}"


def _value(operand: Mapping[str, Any]) -> str:
    text, error = operand["text"], operand["error"]
    if error is None:
        return f"{text} = {shown(operand['value'])}"
    return f"{text} {_MISSING}" if error == _MISSING else one_line(error)


def _moment(stamp: str) -> str:
    return datetime.fromisoformat(stamp).strftime("%Y-%m-%d %H:%M:%SZ")
