"""What `doctor` thinks of figures: pure functions from what was read to a check.

Each hint is a command that mends the finding, or that names what mends it.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from activityctl.daemon.local.check import Check
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.metrics_snapshot import WAITS_TOO_LONG, MetricsSnapshot
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.retention import RETAINED_KINDS
from activityctl.ports import FailingFirings, StorageReport

CLOCK_TOLERATED: Final = timedelta(seconds=5)
"""The worker names its clock as a failing loop from here on, too."""
GROWN: Final = 1 << 30
"""Bytes from which on a kind without a policy is told."""
_SUGGESTED: Final = {
    "runs": "90d",
    "tasks": "90d",
    "attempts": "30d",
    "logs": "30d",
    "spends": "400d",
}
_OTHERS_KEPT: Final = "180d"
_MOST_NAMED: Final = 3
_SECOND: Final = timedelta(seconds=1)
_MIB: Final = 1 << 20
DISK_FULL: Final = 1 << 20
"""Bytes below which a disk counts as full."""
_DISK_NEEDED: Final = 500 << 20


def clock(ahead: timedelta) -> Check:
    """Judge how far this machine's clock is ahead of Postgres' clock."""
    shown = format_duration(max(abs(ahead) // _SECOND * _SECOND, timedelta(0)))
    if abs(ahead) < CLOCK_TOLERATED:
        return Check("clock", "ok", "this machine and Postgres agree on the time")
    side = "ahead of" if ahead > timedelta(0) else "behind"
    found = f"this machine's clock is {shown} {side} Postgres' clock, by which all is decided"
    return Check("clock", "warning", found, "timedatectl set-ntp true")


def schedules(figures: MetricsSnapshot, log: str) -> Check:
    """Judge whether Temporal has the schedules, and whether their due times are decided."""
    counts = figures.schedules
    if refused := counts.get("error", 0):
        found = f"Temporal refuses {count_noun(refused, 'schedule', 'schedules')}"
        return Check("schedules", "failed", found, "activityctl get schedules")
    if behind := figures.overdue_schedules:
        found = f"{count_noun(behind, 'schedule is', 'schedules are')} behind: a due time passed"
        return Check("schedules", "failed", f"{found} and no worker decided it", log)
    if waiting := counts.get("pending", 0):
        found = f"{count_noun(waiting, 'change waits', 'changes wait')} for a worker"
        return Check("schedules", "warning", found, "activityctl get schedules")
    known = sum(counts.values())
    return Check("schedules", "ok", f"{count_noun(known, 'schedule', 'schedules')}, none behind")


def firings(figures: MetricsSnapshot, failing: FailingFirings | None, log: str) -> Check:
    """Judge whether firings start in time; `log` is the command that shows the worker's log."""
    if failing is not None:
        found = f"{failing.count} could not be started: {failing.last_error}"
        return Check("firings", "failed", found, log)
    due, lag = figures.firings.get("due", 0), figures.due_lag
    if lag <= WAITS_TOO_LONG:
        return Check("firings", "ok", f"{due:,} due")
    oldest = format_duration(lag // _SECOND * _SECOND)
    found = f"{due:,} due, the oldest for {oldest}; while the number falls, it is only a queue"
    return Check("firings", "failed", found, log)


def dead_letters(figures: MetricsSnapshot) -> Check:
    """Judge what failed for good and waits for a person."""
    if not figures.dead_letters:
        return Check("dead letters", "ok", "none is open")
    count = count_noun(sum(figures.dead_letters.values()), "is", "are")
    found = f"{count} open: {_most(figures.dead_letters)}"
    return Check("dead letters", "warning", found, "activityctl dlq list")


def breakers(figures: MetricsSnapshot) -> Check:
    """Judge whether failing destinations are left alone."""
    counts = figures.breakers
    if is_open := counts.get("open", 0) + counts.get("half_open", 0):
        held = count_noun(figures.held_tasks, "task waits", "tasks wait")
        found = f"{count_noun(is_open, 'is', 'are')} open; {held} for a breaker or a limit"
        return Check("breakers", "warning", found, "activityctl get breakers")
    return Check("breakers", "ok", "none is open")


def late_runs(figures: MetricsSnapshot) -> Check:
    """Judge whether runs kept to the slo of their definition in the last day."""
    if not figures.late_runs:
        return Check("late runs", "ok", "no deadline was missed within a day")
    count = count_noun(sum(figures.late_runs.values()), "deadline was", "deadlines were")
    found = f"{count} missed within a day: {_most(figures.late_runs)}"
    hint = "activityctl get events --type activityctl.run.late --since 1d"
    return Check("late runs", "warning", found, hint)


def auto_paused(paused: Sequence[Subscription]) -> Check:
    """Judge whether subscriptions have paused themselves."""
    if not paused:
        return Check("auto-pause", "ok", "no subscription has paused itself")
    first = min(subscription.name for subscription in paused)
    count = count_noun(len(paused), "subscription has", "subscriptions have")
    found = f"{count} paused after failures: {_named([each.name for each in paused])}"
    return Check("auto-pause", "warning", found, f"activityctl describe sub {first}")


def versions(program: str, workers: Sequence[WorkerBeat], restart: str) -> Check:
    """Judge whether workers of other versions are at work; `restart` restarts them."""
    others = sorted(
        f"{worker.host} pid {worker.pid} has {worker.version}"
        for worker in workers
        if worker.version != program
    )
    if not others:
        return Check("versions", "ok", f"activityctl {program}, as each worker")
    found = f"activityctl {program}, but the worker on {_named(others)}"
    return Check("versions", "warning", found, restart)


def retention(report: StorageReport, policy: str, keeps_events: bool) -> Check:  # noqa: FBT001  # a setting
    """Judge whether something large grows without a policy."""
    sizes = sorted(report.bytes_by_kind.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{kind} {mebibytes(size)}" for kind, size in sizes if size >= _MIB)
    total = f"the database has {mebibytes(report.total_bytes)}"
    found = f"{total}: {shown}" if shown else total
    ruled = {part.partition("=")[0] for part in policy.replace(",", " ").split()}
    ruled |= set() if keeps_events else {"events"}
    grown = [kind for kind, size in sizes if size >= GROWN and kind not in ruled]
    if not grown:
        return Check("retention", "ok", found)
    found = f"{found}; without a policy: {', '.join(grown)}"
    kinds = [kind for kind in grown if kind in RETAINED_KINDS]
    if not kinds:
        return Check("retention", "warning", found, "activityctl guide event-retention")
    keep = ",".join(f"{kind}={_SUGGESTED.get(kind, _OTHERS_KEPT)}" for kind in kinds)
    return Check("retention", "warning", found, f"activityctl retention --keep {keep} --dry-run")


def disk(
    free: int, for_logs: int, files: Mapping[str, int], home: Path, *, has_servers: bool
) -> Check:
    """Judge the free space of the home and of its logs; `files` has what is there, in bytes."""
    parts = ", ".join(f"{name} {mebibytes(size)}" for name, size in files.items() if size)
    found = f"{mebibytes(free)} free" + (f"; {parts}" if parts else "")
    if free < DISK_FULL and has_servers:
        hint = f"free space for {home}; nothing is lost, and runs go on by themselves then"
        return Check("disk", "failed", f"full: {found}", hint)
    if for_logs < DISK_FULL:
        hint = f"free space for {home / 'logs'}; the daemon runs, but cannot write its logs"
        return Check("disk", "failed", f"{mebibytes(for_logs)} free for the logs", hint)
    if free >= _DISK_NEEDED:
        return Check("disk", "ok", found)
    return Check("disk", "failed", found, f"free {mebibytes(_DISK_NEEDED)} for {home}")


def mebibytes(size: int) -> str:
    """Return the size for a person: MiB, or GiB from one on."""
    return f"{size / GROWN:.1f} GiB" if size >= GROWN else f"{size // _MIB} MiB"


def _most(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return _named([f"{name} {count:,}" for name, count in ordered])


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def relayers(views: Sequence[View]) -> Check:
    """Judge whether the relayers that definitions name can be used and can pay."""
    used = [view for view in views if view["usedBy"]]
    troubled = [view for view in used if view["problem"]]
    if not troubled:
        return Check("relayers", "ok", f"{len(used)} in use")
    found = "; ".join(f"{view['id']}: {view['problem']}" for view in troubled)
    return Check("relayers", "warning", found, _relayer_hint(troubled[0]))


def _relayer_hint(view: View) -> str:
    if view["isLow"]:
        return f"send more of the currency of chain {view['chainId']} to {view['address']}"
    if view["address"] is None:
        return f"activityctl keys create {view['name']} --kind relayer"
    return f"activityctl secrets set chain-{view['chainId']}"
