"""What `doctor` thinks of figures."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activityctl.daemon.local import judgements
from activityctl.daemon.local.check import Check
from activityctl.daemon.local.doctor import without_echoes
from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.ports import FailingFirings, StorageReport

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
LOG = "tail -n 50 worker.log"
GIB = 1 << 30


RUNS_ON = "nothing is lost, and runs go on by themselves then"
NO_LOGS = "free space for /h/logs; the daemon runs, but cannot write its logs"


def disk(free: int, for_logs: int = GIB, *, has_servers: bool = True, **files: int) -> Check:
    return judgements.disk(free, for_logs, files, Path("/h"), has_servers=has_servers)


def figures(**changes: Any) -> MetricsSnapshot:
    blank: dict[str, Any] = {
        "counted_at": NOON,
        "runs": {},
        "firings": {},
        "oldest_due_at": None,
        "schedules": {},
        "overdue_schedules": 0,
        "restarts": 0,
        "restarted_at": None,
        "subscriptions": {},
        "workers": 1,
        "dead_letters": {},
    }
    return MetricsSnapshot(**{**blank, **changes})


def worker(version: str) -> WorkerBeat:
    return WorkerBeat("id", "host-a", 7, version, NOON)


def report(**gibibytes: float) -> StorageReport:
    sizes = {kind: int(size * GIB) for kind, size in gibibytes.items()}
    return StorageReport("18.6", sum(sizes.values()), sizes)


FAILING = FailingFirings(2, NOON, "Temporal refuses it")
FINDINGS: list[tuple[Check, str, str, str | None]] = [
    (judgements.clock(timedelta(seconds=1)), "ok", "agree on the time", None),
    (judgements.clock(timedelta(minutes=-2)), "warning", "2m behind", "timedatectl set-ntp true"),
    (judgements.clock(timedelta(hours=1)), "warning", "1h ahead of", "timedatectl set-ntp true"),
    (judgements.schedules(figures(schedules={"active": 2}), LOG), "ok", "2 schedules", None),
    (
        judgements.schedules(figures(schedules={"error": 1}), LOG),
        "failed",
        "refuses 1 schedule",
        "activityctl get schedules",
    ),
    (
        judgements.schedules(figures(overdue_schedules=1), LOG),
        "failed",
        "1 schedule is behind",
        LOG,
    ),
    (
        judgements.schedules(figures(schedules={"pending": 3}), LOG),
        "warning",
        "3 changes wait",
        "activityctl get schedules",
    ),
    (judgements.firings(figures(firings={"due": 3}), None, LOG), "ok", "3 due", None),
    (judgements.firings(figures(), FAILING, LOG), "failed", "2 could not be started", LOG),
    (
        judgements.firings(
            figures(firings={"due": 1}, oldest_due_at=NOON - timedelta(minutes=3)), None, LOG
        ),
        "failed",
        "the oldest for 3m",
        LOG,
    ),
    (judgements.dead_letters(figures()), "ok", "none", None),
    (
        judgements.dead_letters(figures(dead_letters={"a": 1, "b": 4, "c": 1, "d": 1})),
        "warning",
        "7 are open: b 4, a 1, c 1 and 1 more",
        "activityctl dlq list",
    ),
    (judgements.breakers(figures(breakers={"closed": 1})), "ok", "none", None),
    (
        judgements.breakers(figures(breakers={"open": 1}, held_tasks=2)),
        "warning",
        "1 is open; 2 tasks wait",
        "activityctl get breakers",
    ),
    (judgements.late_runs(figures()), "ok", "no deadline", None),
    (
        judgements.late_runs(figures(late_runs={"closing": 2})),
        "warning",
        "2 deadlines were missed within a day: closing 2",
        "activityctl get events --type activityctl.run.late --since 1d",
    ),
    (judgements.auto_paused(()), "ok", "no subscription", None),
    (judgements.versions("0.2", [worker("0.2")], "up"), "ok", "activityctl 0.2", None),
    (
        judgements.versions("0.2", [worker("0.2"), worker("0.1")], "up"),
        "warning",
        "host-a pid 7 has 0.1",
        "up",
    ),
    (judgements.retention(report(runs=0.5, logs=0.1), "", False), "ok", "runs 512 MiB", None),
    (judgements.retention(report(runs=2), "runs=90d", False), "ok", "runs 2.0 GiB", None),
    (
        judgements.retention(report(runs=2, logs=1, tasks=0.2), "tasks=1d", False),
        "warning",
        "without a policy: runs, logs",
        "activityctl retention --keep runs=90d,logs=30d --dry-run",
    ),
    (judgements.retention(report(events=2), "", False), "ok", "events 2.0 GiB", None),
    (
        judgements.retention(report(events=2), "", True),
        "warning",
        "without a policy: events",
        "activityctl guide event-retention",
    ),
    (disk(GIB, logs=3 << 20), "ok", "logs 3 MiB", None),
    (disk(9 << 20), "failed", "9 MiB free", "free 500 MiB for /h"),
    (disk(999), "failed", "full: 0 MiB free", f"free space for /h; {RUNS_ON}"),
    (disk(GIB, 999), "failed", "0 MiB free for the logs", NO_LOGS),
    (disk(9, 9, has_servers=False), "failed", "0 MiB free for the logs", NO_LOGS),
]


@pytest.mark.parametrize(("check", "state", "found", "hint"), FINDINGS)
def test_a_finding_says_what_is_wrong_and_the_command_that_mends_it(
    check: Check, state: str, found: str, hint: str | None
) -> None:
    assert (check.state, check.hint) == (state, hint)
    assert found in check.found


def test_what_fails_only_because_postgres_does_is_skipped() -> None:
    away = Check("postgres", "failed", "Postgres does not answer", "start it")
    same = Check("worker", "failed", "Postgres does not answer", "activityctl config show")
    slow = Check("runs", "failed", "no answer in time", "tail -n 50 postgres.log")
    other = Check("temporal", "failed", "Temporal does not answer", "start it")
    fine = Check("transport", "ok", "all is local")
    checks = without_echoes([away, same, slow, other, fine])
    assert [check.state for check in checks] == ["failed", "skipped", "skipped", "failed", "ok"]
    assert [check.hint for check in checks] == ["start it", None, None, "start it", None]
    assert without_echoes([same, other]) == [same, other]
