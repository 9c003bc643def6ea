"""How a replay of events looks: who would run, and how it ended."""

from collections.abc import Iterator

from activityctl.cli.render.output import escape_controls
from activityctl.cli.session import Session
from activityctl.domain.cel.messages import one_line
from activityctl.domain.values.plurals import count_noun
from activityctl.operations.events.replay_preview import ReplayPreview, TriggerPreview

_MOST_REASONS = 5


def print_preview(session: Session, found: ReplayPreview) -> None:
    """Print who would run, and why some events start nothing."""
    stretch = found.request.query
    session.out.print(
        f"{count_noun(found.events, 'event')} from {stretch.since:%Y-%m-%d %H:%M:%SZ} "
        f"to {stretch.until:%Y-%m-%d %H:%M:%SZ}, replay {found.request.replay}",
        style="bold",
    )
    for tally in sorted(found.triggers, key=lambda one: -one.new):
        for line, style in _lines(tally):
            session.out.print(escape_controls(line), style=style)


def print_end(session: Session, found: ReplayPreview, recorded: int) -> None:
    """Print how many runs were asked for."""
    refused = sum(one.refused for one in found.triggers)
    also = f", {count_noun(refused, 'refused run')}" if refused else ""
    session.out.print(
        f"replay {found.request.replay}: {count_noun(recorded, 'firing')} recorded{also}"
    )
    if any(one.firings for one in found.triggers) and not recorded:
        session.err.print("this replay has fed them before; --id NAME makes another")
    elif not recorded:
        why = "for the reasons above" if any(one.left for one in found.triggers) else "none matches"
        session.err.print(f"no event started a run: {why}")
    if recorded or refused:
        owner = found.request.subscription
        session.err.print(f"hint: activityctl get runs{f' -s {owner}' if owner else ''}")


def _lines(tally: TriggerPreview) -> Iterator[tuple[str, str]]:
    label = f"{tally.subscription}/{tally.trigger}"
    if not tally.firings and not tally.left:
        yield f"  {label}: no event matches", "dim"
        return
    before = tally.firings - tally.new
    again = f", {before:,} started before" if before else ""
    paused = "; the subscription is paused, they run all the same" if tally.is_paused else ""
    style = "green" if tally.new else "dim"
    yield (
        f"{'+' if tally.new else ' '} {label}: {count_noun(tally.new, 'run')}{again}{paused}",
        style,
    )
    for event in tally.events:
        moment = f"{event.arrived_at:%Y-%m-%d %H:%M:%SZ}"
        yield f"      {event.id[:8]} {event.document['type']} {moment}", ""
    if (rest := tally.new - len(tally.events)) and tally.events:
        yield f"      … {rest:,} more", ""
    reasons = sorted(tally.left.items(), key=lambda item: -item[1])
    for reason, count in reasons[:_MOST_REASONS]:
        yield f"      {count_noun(count, 'event')} left alone: {one_line(reason)}", "yellow"
