"""Show a replay of events: which runs would start, and how many were started."""

from collections.abc import Iterator

from activityctl.cli.session import Session
from activityctl.domain.cel.messages import one_line
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls
from activityctl.operations.events.replay_preview import ReplayPreview, TriggerPreview

_MOST_REASONS = 5


def print_preview(session: Session, found: ReplayPreview) -> None:
    """Print which triggers would run, and why some events start no run."""
    query = found.request.query
    session.out.print(
        f"{count_noun(found.events, 'event')} from {query.since:%Y-%m-%d %H:%M:%SZ} "
        f"to {query.until:%Y-%m-%d %H:%M:%SZ}, replay {found.request.replay}",
        style="bold",
    )
    for trigger in sorted(found.triggers, key=lambda trigger: -trigger.new):
        for line, style in _lines(trigger):
            session.out.print(escape_controls(line), style=style)


def print_end(session: Session, found: ReplayPreview, recorded: int) -> None:
    """Print how many firings were recorded; on stderr why none was, and what to do next."""
    refused = sum(trigger.refused for trigger in found.triggers)
    also = f", {count_noun(refused, 'refused run')}" if refused else ""
    session.out.print(
        f"replay {found.request.replay}: {count_noun(recorded, 'firing')} recorded{also}"
    )
    if not recorded:
        session.err.print(_why_none(found))
    if recorded or refused:
        owner = found.request.subscription
        session.err.print(f"hint: activityctl get runs{f' -s {owner}' if owner else ''}")


def _why_none(found: ReplayPreview) -> str:
    """Return why no firing was recorded."""
    if any(trigger.firings for trigger in found.triggers):
        return "this replay has started these runs before; --id NAME starts them again"
    if any(trigger.left for trigger in found.triggers):
        return "no event started a run, for the reasons above"
    return "no event started a run: none matches"


def _lines(trigger: TriggerPreview) -> Iterator[tuple[str, str]]:
    label = f"{trigger.subscription}/{trigger.trigger}"
    if not trigger.firings and not trigger.left:
        yield f"  {label}: no event matches", "dim"
        return
    before = trigger.firings - trigger.new
    again = f", {before:,} started before" if before else ""
    paused = "; the subscription is paused, but a replay runs it" if trigger.is_paused else ""
    style = "green" if trigger.new else "dim"
    yield (
        f"{'+' if trigger.new else ' '} {label}: {count_noun(trigger.new, 'run')}{again}{paused}",
        style,
    )
    for event in trigger.events:
        moment = f"{event.arrived_at:%Y-%m-%d %H:%M:%SZ}"
        yield f"      {event.id[:8]} {event.document['type']} {moment}", ""
    if (rest := trigger.new - len(trigger.events)) and trigger.events:
        yield f"      … {rest:,} more", ""
    reasons = sorted(trigger.left.items(), key=lambda item: -item[1])
    for reason, count in reasons[:_MOST_REASONS]:
        yield f"      {count_noun(count, 'event')} left out: {one_line(reason)}", "yellow"
