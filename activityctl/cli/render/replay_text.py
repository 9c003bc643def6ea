"""Show a replay of events: which runs would start, and how many were started."""

from collections.abc import Iterator

from activityctl.cli.session import Session
from activityctl.domain.cel.messages import one_line
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls

_MOST_REASONS = 5


def print_preview(session: Session, found: View) -> None:
    """Print which triggers would run, and why some events start no run."""
    session.out.print(
        f"{count_noun(found['events'], 'event')} from {_second(found['since'])} "
        f"to {_second(found['until'])}, replay {found['replay']}",
        style="bold",
    )
    for trigger in sorted(found["triggers"], key=lambda trigger: -trigger["new"]):
        for line, style in _lines(trigger):
            session.out.print(escape_controls(line), style=style)


def print_end(session: Session, found: View, owner: str | None, recorded: int) -> None:
    """Print how many firings were recorded; on stderr why none was, and what to do next."""
    refused = sum(trigger["refused"] for trigger in found["triggers"])
    also = f", {count_noun(refused, 'refused run')}" if refused else ""
    session.out.print(f"replay {found['replay']}: {count_noun(recorded, 'firing')} recorded{also}")
    if not recorded:
        session.err.print(_why_none(found))
    if recorded or refused:
        session.err.print(f"hint: activityctl get runs{f' -s {owner}' if owner else ''}")


def _why_none(found: View) -> str:
    """Return why no firing was recorded."""
    if any(trigger["firings"] for trigger in found["triggers"]):
        return "this replay has started these runs before; --id NAME starts them again"
    if any(trigger["left"] for trigger in found["triggers"]):
        return "no event started a run, for the reasons above"
    return "no event started a run: none matches"


def _lines(trigger: View) -> Iterator[tuple[str, str]]:
    label = f"{trigger['subscription']}/{trigger['trigger']}"
    firings, new, left = trigger["firings"], trigger["new"], trigger["left"]
    if not firings and not left:
        yield f"  {label}: no event matches", "dim"
        return
    before = firings - new
    again = f", {before:,} started before" if before else ""
    paused = "; the subscription is paused, but a replay runs it" if trigger["paused"] else ""
    style = "green" if new else "dim"
    yield (
        f"{'+' if new else ' '} {label}: {count_noun(new, 'run')}{again}{paused}",
        style,
    )
    for event in trigger["first"]:
        yield f"      {event['uid'][:8]} {event['type']} {_second(event['arrivedAt'])}", ""
    if (rest := new - len(trigger["first"])) and trigger["first"]:
        yield f"      … {rest:,} more", ""
    for each in left[:_MOST_REASONS]:
        count = count_noun(each["count"], "event")
        yield f"      {count} left out: {one_line(each['reason'])}", "yellow"


def _second(timestamp: str) -> str:
    """Return a time of JSON to the second, as people read it."""
    return f"{timestamp[:10]} {timestamp[11:19]}Z"
