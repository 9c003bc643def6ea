"""What `recover` found and did, as lines for a person."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_line

if TYPE_CHECKING:
    from activityctl.daemon.worker.recovery_loop import FullRecovery

_SHOWN: Final = 20
"""How many of each kind are listed; JSON has all."""


def recovery_lines(found: "FullRecovery", *, is_dry_run: bool) -> Iterator[str]:
    """Yield the lines: a summary of each kind, and its first objects."""
    lost = found.lost
    if lost.is_empty and not found.alarms:
        yield "Temporal knows every open run, every started firing and every alarm"
        return
    runs = count_noun(len(lost.runs), "run", "runs")
    yield from _part(
        f"{'would carry on' if is_dry_run else 'carried on'} {runs} without a workflow",
        [f"run/{firing.run_id}" for firing in lost.runs],
    )
    firings = count_noun(len(lost.firings), "firing", "firings")
    yield from _part(
        f"{'would start' if is_dry_run else 'started'} {firings} again, started before without"
        " a run",
        [f"run/{firing.run_id}" for firing in lost.firings],
    )
    alarms = count_noun(len(found.alarms), "alarm", "alarms")
    yield from _part(
        f"{'would restore' if is_dry_run else 'restored'} {alarms}",
        [stored.id for stored in found.alarms],
    )
    for firing, reason in lost.refused:
        yield f"Temporal refuses run/{firing.run_id}: {escape_line(reason)}"


def _part(summary: str, names: list[str]) -> Iterator[str]:
    if not names:
        return
    yield summary
    yield from (f"  {escape_line(name)}" for name in names[:_SHOWN])
    if len(names) > _SHOWN:
        yield f"  and {len(names) - _SHOWN} more; -o json lists all"
